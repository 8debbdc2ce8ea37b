"""Prophesee RAW files: a header, then the words sent by the camera (EVT2, EVT2.1 or EVT3).

The header consists of text lines that start with ``%``. New cameras write
``% format EVT3;height=720;width=1280`` and close the header with ``% end``. Old ones write
``% evt 3.0`` and possibly ``% geometry 1280x720``; that header ends at the first byte that does not
start such a line.
"""

from __future__ import annotations

import mmap
import re
from bisect import bisect_left
from pathlib import Path
from typing import NamedTuple

import numpy as np

from easnn.events.checks import LATE_US, NO_TIME_US, restore_order
from easnn.events.dtypes import EVENT_DTYPE
from easnn.events.evidence import reject_zeros
from easnn.events.evt_blocks import block_decoder
from easnn.events.evt_clock import HighTimeCheck
from easnn.events.evt_decode import DECODERS, DecoderState
from easnn.events.outside import Outside
from easnn.utils.errors import DataError
from easnn.utils.files import map_file

BLOCK_WORDS = 65_536
"""How many words are decoded at a time."""

MAX_HEADER_BYTES = 65_536
VERSIONS = {"2.0": "EVT2", "2.1": "EVT21", "3.0": "EVT3"}
SENSORS = (
    (re.compile(r"gen3(?!\d)|gen3\.?1", re.IGNORECASE), (480, 640)),
    (re.compile(r"gen4(?!\d)|gen4\.?1|imx636", re.IGNORECASE), (720, 1280)),
    (re.compile(r"genx320", re.IGNORECASE), (320, 320)),
)
"""Sensors by their names in old headers, with height and width in pixels."""

_LINE = re.compile(rb"% ?([\t\x20-\xff]*)\r?\n")
_RAW_LINE = re.compile(rb"^% *(evt|format) ", re.MULTILINE)
_MAX_SIDE_PX = 16_384


class RawRecording:
    """A memory-mapped RAW file, a :class:`~easnn.events.Recording`; opened by :func:`open_raw`.

    Opening decodes the file once, block by block, and stores the decoder state before each block.
    """

    def __init__(
        self, path: Path, sensor_hw: tuple[int, int] | None, drop_invalid: bool = False
    ) -> None:
        self.path = path
        self._given_hw = sensor_hw
        data = map_file(path)
        header = parse_raw_header(data[:MAX_HEADER_BYTES], path)
        hw = sensor_hw or header.sensor_hw
        if hw is None:
            raise DataError(
                f"{path} does not specify the size of its sensor. Give it with --sensor-size HxW "
                "(`sensor_hw` in Python)."
            )
        self.sensor_hw: tuple[int, int] = hw
        self._outside = Outside(path, hw, drop=drop_invalid)
        self._decoder = block_decoder(header.encoding)
        self._words = _words(data, header.size, np.dtype(DECODERS[header.encoding][0]), path)
        self._swapped = header.swapped and header.encoding == "EVT21"
        self._states: list[DecoderState] = []
        self._firsts: list[int] = []  # number of the first event of each block, then of all events
        self._latest_us: list[int] = []  # largest time before each block, then of all blocks
        self._late: list[int] = []  # number of late events before each block, then of all
        self.first_us = NO_TIME_US
        self._index(HighTimeCheck(path, header.encoding))
        self.last_us = self._latest_us[-1]
        self._dropped = None if drop_invalid else 0

    def __reduce__(self) -> tuple[type[RawRecording], tuple[Path, tuple[int, int] | None, bool]]:
        return RawRecording, (self.path, self._given_hw, self._outside.drop)

    def __len__(self) -> int:
        return self._firsts[-1] - self.dropped_events()

    def window(self, start_us: int, end_us: int) -> np.ndarray:
        """See :meth:`easnn.events.Recording.window`."""
        # `_latest_us[b]` is the time before block b: block b - 1 is the first to reach `start_us`.
        first = max(0, bisect_left(self._latest_us, start_us) - 1)
        stop = max(first, min(bisect_left(self._latest_us, end_us), len(self._states)))
        if first == stop:
            return np.empty(0, EVENT_DTYPE)
        # Only the first and the last block are cut; the others are decoded where they belong.
        last = stop - 1
        head = self._block(first)
        tail = head if last == first else self._block(last)
        begin = self._firsts[first] + bisect_left(head["t_us"], start_us)
        end = max(begin, self._firsts[last] + bisect_left(tail["t_us"], end_us))
        events = np.empty(end - begin, EVENT_DTYPE)
        for block in range(first, stop):
            block_begin, block_end = self._firsts[block : block + 2]
            from_, to = max(begin, block_begin), min(end, block_end)
            piece = events[from_ - begin : to - begin]
            if block in (first, last):
                cut = head if block == first else tail
                # Bytes are copied several times faster than structured values.
                piece.view(np.uint8)[:] = cut[from_ - block_begin : to - block_begin].view(np.uint8)
            else:
                self._decode(block, piece)
            self._outside.check(piece, first=from_)
        return self._outside.kept(events, first=begin)

    def events(self) -> np.ndarray:
        """See :meth:`easnn.events.Recording.events`."""
        return self.window(self.first_us, self.last_us + 1)

    def late_events(self) -> int:
        """See :meth:`easnn.events.StoredRecording.late_events`."""
        return self._late[-1]

    def dropped_events(self) -> int:
        """See :meth:`easnn.events.StoredRecording.dropped_events`."""
        if self._dropped is None:
            self._dropped = self._outside.count(map(self._block, range(len(self._states))))
        return self._dropped

    def _index(self, clock: HighTimeCheck) -> None:
        state, count, latest_us, late = DecoderState(), 0, NO_TIME_US, 0
        for begin in range(0, len(self._words), BLOCK_WORDS):
            self._states.append(state)
            self._firsts.append(count)
            self._latest_us.append(latest_us)
            self._late.append(late)
            words = self._read(begin)
            found = self._decoder.survey(words, state, latest_us)
            clock.check(words, state, found.state, first=begin)
            if found.late_us > LATE_US:
                events, _ = self._decoder.decode(words, state)
                restore_order(events, self.path, first=count, latest_us=latest_us)
            if count == 0 and found.num_events:
                self.first_us = found.first_us
            count, latest_us, state = count + found.num_events, found.latest_us, found.state
            late += found.late_events
        self._firsts.append(count)
        self._latest_us.append(latest_us)
        self._late.append(late)
        if count == 0:
            raise DataError(
                f"{self.path} has {len(self._words)} words, but no events. Record it again."
            )

    def _block(self, block: int) -> np.ndarray:
        events = np.empty(self._firsts[block + 1] - self._firsts[block], EVENT_DTYPE)
        self._decode(block, events)
        return events

    def _decode(self, block: int, events: np.ndarray) -> None:
        """Write the events of a block, with restored times, to ``events``."""
        words = self._read(block * BLOCK_WORDS)
        if self._decoder.decode_into(words, self._states[block], events) != len(events):
            raise DataError(f"{self.path} has changed since it was opened. Open it again.")
        if self._late[block] < self._late[block + 1]:
            restore_order(
                events, self.path, first=self._firsts[block], latest_us=self._latest_us[block]
            )

    def _read(self, begin: int) -> np.ndarray:
        words = self._words[begin : begin + BLOCK_WORDS]
        return words << 32 | words >> 32 if self._swapped else words


def open_raw(
    path: Path | str, *, sensor_hw: tuple[int, int] | None = None, drop_invalid: bool = False
) -> RawRecording:
    """Open a RAW file in the encoding EVT2, EVT2.1 or EVT3.

    Args:
        path: the file.
        sensor_hw: height and width of the sensor in pixels; overrides the size in the header. Every
            event that is read must lie inside.
        drop_invalid: whether to drop single events outside of the sensor instead of raising an
            error when they are read.

    Raises:
        DataError: if the file is missing, empty, cut off, in another encoding or without events, if
            its times run backwards, or if the size of the sensor is unknown.
    """
    return RawRecording(Path(path), sensor_hw, drop_invalid)


def is_raw(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` has the header of a RAW file."""
    return head.startswith(b"%") and _RAW_LINE.search(head[: end_of_lines(head)]) is not None


class RawHeader(NamedTuple):
    """Content of the header of a RAW file.

    Attributes:
        size: bytes before the first word.
        encoding: encoding of the words, a key of DECODERS.
        sensor_hw: height and width in pixels; None if unknown.
        swapped: whether the halves of EVT2.1 words are swapped.
    """

    size: int
    encoding: str
    sensor_hw: tuple[int, int] | None
    swapped: bool


def parse_raw_header(head: bytes, path: Path | str) -> RawHeader:
    """Parse the header of a RAW file.

    Args:
        head: the first MAX_HEADER_BYTES of the file, or the whole file if it is shorter.
        path: name of the file, for errors.

    Raises:
        DataError: if the header is damaged or names an unsupported encoding.
    """
    size = end_of_lines(head)
    values: dict[str, str] = {}
    for line in head[:size].decode("latin-1").splitlines():
        name, _, value = line[1:].strip().partition(" ")
        values[name.lower()] = value.strip()
    options = dict(option.partition("=")[::2] for option in values.get("format", "").split(";")[1:])
    encoding = values.get("format", "").split(";")[0].strip() or VERSIONS.get(
        values.get("evt", ""), ""
    )
    if encoding not in DECODERS:
        found = values.get("format") or values.get("evt") or "missing"
        raise DataError(
            f"The encoding in the header of {path} must be EVT2, EVT21 or EVT3, but is {found!r}. "
            "Export the recording as DAT with the tools of its camera."
        )
    return RawHeader(
        size, encoding, _sensor_hw(values, options, path), options.get("endianness") == "legacy"
    )


def end_of_lines(head: bytes) -> int:
    """Return where the whole header lines end with which ``head`` begins."""
    size = 0
    while match := _LINE.match(head, size):
        size = match.end()
        if match[1].strip() == b"end":
            break
    return size


def _sensor_hw(
    values: dict[str, str], options: dict[str, str], path: Path | str
) -> tuple[int, int] | None:
    """Return the size from the format line, else the geometry, else the name of the sensor."""
    if {"height", "width"} <= options.keys():
        return _side(options["height"], path), _side(options["width"], path)
    if "geometry" in values:
        width, _, height = values["geometry"].partition("x")
        return _side(height, path), _side(width, path)
    names = values.get("sensor_name", "") + " " + values.get("plugin_name", "")
    return next((hw for sensor, hw in SENSORS if sensor.search(names)), None)


def _side(text: str, path: Path | str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text) or int(text) > _MAX_SIDE_PX:
        raise DataError(
            f"Height and width in the header of {path} must be 1 to {_MAX_SIDE_PX} pixels, but one "
            f"is {text!r}."
        )
    return int(text)


def _words(data: mmap.mmap, start: int, dtype: np.dtype, path: Path) -> np.ndarray:
    """Return a view of the stored words from byte ``start`` on."""
    count, rest = divmod(len(data) - start, dtype.itemsize)
    words = np.frombuffer(data, dtype, count, start if count else 0)
    reject_zeros(words, path, "words")
    if rest:
        raise DataError(
            f"{path} is cut off: after {count} words of {dtype.itemsize} bytes, {rest} more bytes "
            f"are left, at byte {len(data) - rest}. Copy it again."
        )
    if count == 0:
        raise DataError(f"{path} has a header, but no events. Copy or record it again.")
    return words
