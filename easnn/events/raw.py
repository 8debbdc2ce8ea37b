"""Prophesee RAW files: the words that a camera sends (EVT2, EVT2.1 or EVT3) behind a header."""

from __future__ import annotations

import mmap
from bisect import bisect_left
from pathlib import Path

import numpy as np

from easnn.events.evt import Decoder, DecoderState
from easnn.events.evt2 import decode_evt2, decode_evt21
from easnn.events.evt3 import decode_evt3
from easnn.events.mapping import map_file
from easnn.events.order import NO_TIME_US, check_inside, restore_order
from easnn.events.raw_header import MAX_HEADER_BYTES, parse_raw_header
from easnn.events.types import EVENT_DTYPE
from easnn.utils.errors import DataError

DECODERS: dict[str, tuple[str, Decoder]] = {
    "EVT2": ("<u4", decode_evt2),
    "EVT21": ("<u8", decode_evt21),
    "EVT3": ("<u2", decode_evt3),
}
"""Type of the words, and how they are decoded."""

BLOCK_WORDS = 65_536
"""How many words are decoded at a time."""


class RawRecording:
    """A RAW file, memory-mapped: see :class:`easnn.events.Recording`, and :func:`open_raw` to open one.

    Opening decodes the file once, block by block, and remembers what a block needs from those before it.
    """

    def __init__(self, path: Path, sensor_hw: tuple[int, int] | None) -> None:
        self.path = path
        self._given_hw = sensor_hw
        data = map_file(path)
        header = parse_raw_header(data[:MAX_HEADER_BYTES], path)
        hw = sensor_hw or header.sensor_hw
        if hw is None:
            raise DataError(
                f"{path} does not tell the size of its sensor. Give it with --sensor-size HxW (`sensor_hw` "
                "in Python)."
            )
        self.sensor_hw: tuple[int, int] = hw
        dtype, self._decode = DECODERS[header.encoding]
        self._words = _words(data, header.size, np.dtype(dtype), path)
        self._swapped = header.swapped and header.encoding == "EVT21"
        self._states: list[DecoderState] = []
        self._firsts: list[int] = []  # number of the first event of each block, then of all events
        self._latest_us: list[int] = []  # greatest time before each block, then of all blocks
        self._first_us = NO_TIME_US
        self._late_events = 0
        self._index()

    def __reduce__(self) -> tuple[type[RawRecording], tuple[Path, tuple[int, int] | None]]:
        return RawRecording, (self.path, self._given_hw)

    def __len__(self) -> int:
        return self._firsts[-1]

    @property
    def first_us(self) -> int:
        """Time of the first event."""
        return self._first_us

    @property
    def last_us(self) -> int:
        """Time of the last event."""
        return self._latest_us[-1]

    def window(self, start_us: int, end_us: int) -> np.ndarray:
        """Return the events with ``start_us <= t_us < end_us``: a fresh array of EVENT_DTYPE, sorted by time.

        Raises:
            DataError: if an event lies outside the sensor.
        """
        # The block before the first one that begins with such a time may end with one.
        first = max(0, bisect_left(self._latest_us, start_us) - 1)
        stop = max(first, min(bisect_left(self._latest_us, end_us), len(self._states)))
        pieces = [np.empty(0, EVENT_DTYPE)]
        for block in range(first, stop):
            events = self._block(block)
            begin, end = np.searchsorted(events["t_us"], (start_us, end_us))
            piece = events[begin:end]
            check_inside(piece, self.sensor_hw, self.path, first=self._firsts[block] + int(begin))
            pieces.append(piece)
        return np.concatenate(pieces)

    def events(self) -> np.ndarray:
        """Return all events: a fresh array of EVENT_DTYPE, sorted by time.

        Raises:
            DataError: if an event lies outside the sensor.
        """
        return self.window(self.first_us, self.last_us + 1)

    def late_events(self) -> int:
        """Return how many events come after one that is later than them."""
        return self._late_events

    def _index(self) -> None:
        state, count, latest_us = DecoderState(), 0, NO_TIME_US
        for begin in range(0, len(self._words), BLOCK_WORDS):
            self._states.append(state)
            self._firsts.append(count)
            self._latest_us.append(latest_us)
            events, state = self._decode(self._read(begin), state)
            if len(events) == 0:
                continue
            self._late_events += restore_order(events, self.path, first=count, latest_us=latest_us)
            if count == 0:
                self._first_us = int(events["t_us"][0])
            count, latest_us = count + len(events), int(events["t_us"][-1])
        self._firsts.append(count)
        self._latest_us.append(latest_us)
        if count == 0:
            raise DataError(f"{self.path} has {len(self._words)} words, but no events. Record it again.")

    def _block(self, block: int) -> np.ndarray:
        events, _ = self._decode(self._read(block * BLOCK_WORDS), self._states[block])
        restore_order(events, self.path, first=self._firsts[block], latest_us=self._latest_us[block])
        return events

    def _read(self, begin: int) -> np.ndarray:
        words = self._words[begin : begin + BLOCK_WORDS]
        return words << 32 | words >> 32 if self._swapped else words


def open_raw(path: Path | str, *, sensor_hw: tuple[int, int] | None = None) -> RawRecording:
    """Open a RAW file in the encoding EVT2, EVT2.1 or EVT3.

    Args:
        path: the file.
        sensor_hw: height and width of the sensor in pixels, instead of what the header says. Every event that
            is read must lie inside.

    Raises:
        DataError: if the file is missing, empty, cut off, in another encoding or without events, if its times
            run backwards, or if nothing tells the size of the sensor.
    """
    return RawRecording(Path(path), sensor_hw)


def _words(data: mmap.mmap, start: int, dtype: np.dtype, path: Path) -> np.ndarray:
    """Return the words from byte ``start`` on, as they are in the file."""
    count, rest = divmod(len(data) - start, dtype.itemsize)
    if rest:
        raise DataError(
            f"{path} is cut off: after {count} words of {dtype.itemsize} bytes, {rest} more bytes are left, "
            f"at byte {len(data) - rest}. Copy it again."
        )
    if count == 0:
        raise DataError(f"{path} has a header, but no events. Copy or record it again.")
    return np.frombuffer(data, dtype, offset=start)
