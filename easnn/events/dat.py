"""Prophesee DAT files: contrast-detection (CD) events of 8 bytes, little-endian.

The header consists of text lines that start with ``%``, one byte for the event type and one for the
event size. The oldest files have no header at all: no text and neither byte.

An event is the low 32 bits of its time in µs, followed by a word with x, y and the polarity.
Starting at the lowest bit, these have 14, 14 and 1 bits in version 2, and 9, 8 and 1 bits in
version 1.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from easnn.events import native_calls
from easnn.events.checks import (
    LATE_US,
    NO_TIME_US,
    check_writable,
    reject_late,
    reject_rows,
    restore_order,
)
from easnn.events.dat_clock import PERIOD_US, WRAP_FALL_US, RecordClock
from easnn.events.dtypes import EVENT_DTYPE
from easnn.events.evidence import reject_other_content, reject_zeros
from easnn.events.outside import Outside
from easnn.utils.errors import DataError
from easnn.utils.files import atomic_write, map_file

RECORD_DTYPE = np.dtype([("counter", "<u4"), ("word", "<u4")])
EVENT_BYTES = RECORD_DTYPE.itemsize
CD_TYPES = {0: "Event2D", 12: "CD"}
OTHER_TYPES = {14: "external trigger", 40: "optical flow"}
XY_BITS = {1: (9, 8), 2: (14, 14)}
"""Width of x and y by version of the format."""
UNUSED_BITS_FROM = 29
BLOCK_RECORDS = 65_536
"""How many records are decoded and checked at a time: their events stay in the cache."""
PROBED_FOR_GARBAGE = 4096
MAX_HEADER_BYTES = 65_536

_NOT_TEXT = re.compile(rb"[\x00-\x08\x0a-\x0c\x0e-\x1f]")


class DatRecording:
    """A memory-mapped DAT file, a :class:`~easnn.events.Recording`; opened by :func:`open_dat`.

    Times are unwrapped. If events are late, times are the running maximum of the stored times:
    see :mod:`easnn.events.dat_clock` for the definition and its limits.
    """

    def __init__(
        self, path: Path, sensor_hw: tuple[int, int] | None, drop_invalid: bool = False
    ) -> None:
        self.path = path
        self._given_hw = sensor_hw
        data = map_file(path)
        header = parse_dat_header(data[:MAX_HEADER_BYTES], path)
        self.sensor_hw = sensor_hw or header.sensor_hw
        self._outside = Outside(path, self.sensor_hw, drop=drop_invalid)
        self._xy_bits = XY_BITS[header.version]
        self._records = _records(data, header.size, path)
        self._clock = RecordClock(self._records["counter"])
        self._reject_first(self._clock.first_fall, self._clock.first_jump, header.size)
        self._dropped = None if drop_invalid else 0

    def __reduce__(self) -> tuple[type[DatRecording], tuple[Path, tuple[int, int] | None, bool]]:
        return DatRecording, (self.path, self._given_hw, self._outside.drop)

    def __len__(self) -> int:
        return len(self._records) - self.dropped_events()

    @property
    def first_us(self) -> int:
        """Time of the first event."""
        return self._clock.first_us

    @property
    def last_us(self) -> int:
        """Time of the last event."""
        return self._clock.last_us

    def window(self, start_us: int, end_us: int) -> np.ndarray:
        """See :meth:`easnn.events.Recording.window`."""
        return self._decode(self._clock.search(start_us), self._clock.search(end_us))

    def events(self) -> np.ndarray:
        """See :meth:`easnn.events.Recording.events`."""
        return self._decode(0, len(self._records))

    def late_events(self) -> int:
        """See :meth:`easnn.events.StoredRecording.late_events`; this reads the whole file."""
        count, too_late = self._clock.late_records()
        self._reject_late(too_late)
        return count

    def dropped_events(self) -> int:
        """See :meth:`easnn.events.StoredRecording.dropped_events`."""
        if self._dropped is None:
            self._dropped = self._outside.count(self._blocks())
        return self._dropped

    def _blocks(self) -> Iterator[np.ndarray]:
        """Yield all events, with their times in the order of the file."""
        for start in range(0, len(self._records), BLOCK_RECORDS):
            events = np.empty(min(BLOCK_RECORDS, len(self._records) - start), EVENT_DTYPE)
            self._decode_as_stored(start, start + len(events), events)
            yield events

    def _decode(self, start: int, stop: int) -> np.ndarray:
        events = np.empty(max(0, stop - start), EVENT_DTYPE)
        latest_us = NO_TIME_US
        for begin in range(start, stop, BLOCK_RECORDS):
            end = min(begin + BLOCK_RECORDS, stop)
            block = events[begin - start : end - start]
            latest_us = self._decode_block(begin, end, block, latest_us)
            self._outside.check(block, first=begin)
        return self._outside.kept(events, first=start)

    def _decode_block(self, start: int, stop: int, events: np.ndarray, latest_us: int) -> int:
        """Write records to ``events``, given the time before them; return that of the last one."""
        library = native_calls.library()
        if library is not None:
            last_us, any_late = latest_us, False
            for begin, end, wrapped_us in self._clock.parts(start, stop):
                last_us, is_late = native_calls.decode_dat(
                    library,
                    self._records[begin:end],
                    events[begin - start : end - start],
                    add_us=wrapped_us,
                    latest_us=last_us,
                    limit_us=LATE_US,
                    xy_bits=self._xy_bits,
                )
                any_late |= is_late
            if not any_late:
                return last_us
        self._decode_as_stored(start, stop, events)
        restore_order(events, self.path, first=start, latest_us=latest_us)
        return int(events["t_us"][-1])

    def _decode_as_stored(self, start: int, stop: int, events: np.ndarray) -> None:
        """Write records to ``events``, with their unwrapped times, which may not be in order."""
        events["t_us"] = self._clock.unwrapped(start, stop)
        unpack_words(self._records["word"][start:stop], self._xy_bits, events)

    def _reject_first(self, fall: int | None, jump: int | None, header_bytes: int) -> None:
        """Raise the error for what comes first, if anything: a fall of the times, or a jump."""
        if jump is None or (fall is not None and fall < jump):
            self._reject_late(fall)
            return
        before_us, after_us = self._records["counter"][jump - 1 : jump + 1].tolist()
        kept = header_bytes + EVENT_BYTES * (jump - 1)
        cut = f", or keep only what is before both: its first {kept} bytes" if jump > 1 else ""
        raise DataError(
            f"The time of event {jump} of {self.path} must not be more than 2³¹ µs (35 min) after "
            f"that of event {jump - 1}, but they are {after_us} µs and {before_us} µs. One of them "
            f"is damaged. Copy the file again{cut}."
        )

    def _reject_late(self, number: int | None) -> None:
        """Raise the error for a record that is more than 1 s late, if there is one."""
        if number is not None:
            event = np.empty(1, EVENT_DTYPE)
            self._decode_as_stored(number, number + 1, event)
            reject_late(np.ones(1, bool), event, self.path, first=number)


def unpack_words(words: np.ndarray, xy_bits: tuple[int, int], events: np.ndarray) -> None:
    """Write what the words [N] of records hold, x, y and polarity, to ``events`` [N]."""
    x_bits, y_bits = xy_bits
    events["x"] = words & (1 << x_bits) - 1
    events["y"] = words >> x_bits & (1 << y_bits) - 1
    events["p"] = words >> x_bits + y_bits & 1


def open_dat(
    path: Path | str, *, sensor_hw: tuple[int, int] | None = None, drop_invalid: bool = False
) -> DatRecording:
    """Open a DAT file with contrast-detection events (type 0 or 12).

    Args:
        path: the file.
        sensor_hw: height and width of the sensor in pixels; overrides the size in the header. Every
            event that is read must lie inside. If neither is given, coordinates are not checked.
        drop_invalid: whether to drop single events outside of the sensor instead of raising an
            error when they are read.

    Raises:
        DataError: if the file is missing, empty, cut off or not a DAT file, ends with zeros or has
            no CD events, or if its times run backwards.
    """
    return DatRecording(Path(path), sensor_hw, drop_invalid)


def write_dat(
    path: Path | str,
    events: np.ndarray,
    *,
    sensor_hw: tuple[int, int] | None = None,
    event_type: int = 12,
) -> None:
    """Write sorted ``events`` (EVENT_DTYPE) as a DAT file; see :func:`write_dat_pieces`."""
    write_dat_pieces(path, [events], sensor_hw=sensor_hw, event_type=event_type)


def write_dat_pieces(
    path: Path | str,
    pieces: Iterable[np.ndarray],
    *,
    sensor_hw: tuple[int, int] | None = None,
    event_type: int = 12,
) -> None:
    """Write events as a DAT file of version 2; :func:`open_dat` returns the same events.

    The same events always give the same bytes: the header contains no date.

    Args:
        path: the file, written atomically.
        pieces: arrays of events (EVENT_DTYPE), sorted by time over all pieces.
        sensor_hw: height and width of the sensor in pixels, stored in the header.
        event_type: 12 (CD) or 0 (Event2D, as in the Gen1 dataset).

    Raises:
        DataError: if the format cannot hold the events, naming the first one that is wrong.
        OutputError: if the file cannot be written.
    """
    path = Path(path)
    if event_type not in CD_TYPES:
        raise DataError(
            f"The event type of {path} must be one of {sorted(CD_TYPES)}, but is {event_type}."
        )
    x_bits, y_bits = XY_BITS[2]
    header = _format_header(event_type, sensor_hw)
    with atomic_write(path) as file:
        file.write(header)
        count, last_us = 0, 0
        for events in pieces:
            if len(events) == 0:
                continue
            check_writable(
                events, sensor_hw or (1 << y_bits, 1 << x_bits), path, first=count, last_us=last_us
            )
            _check_gaps(events, path, first=count, last_us=last_us)
            records = np.empty(len(events), RECORD_DTYPE)
            records["counter"] = events["t_us"] % PERIOD_US
            records["word"] = events["x"]
            records["word"] |= events["y"].astype(np.uint32) << x_bits
            records["word"] |= events["p"].astype(np.uint32) << x_bits + y_bits
            file.write(records.data)
            count, last_us = count + len(events), int(events["t_us"][-1])
        if count == 0:
            raise DataError(f"{path} must get at least one event, but gets none.")
        file.flush()
        stored = np.memmap(file.name, RECORD_DTYPE, "r", offset=len(header))
        if RecordClock(stored["counter"]).last_us != last_us:
            raise DataError(
                f"{path} cannot hold so sparse a recording of {last_us / 6e7:.0f} min, since DAT "
                "keeps 32 bits of the time. Write HDF5 instead."
            )


class DatHeader(NamedTuple):
    """Size in bytes, version of the format, and height and width in pixels if they are given."""

    size: int = 0
    version: int = 2
    sensor_hw: tuple[int, int] | None = None


def parse_dat_header(head: bytes, path: Path | str) -> DatHeader:
    """Parse the header of a file that begins with ``head`` (at most MAX_HEADER_BYTES).

    Raises:
        DataError: if the header is damaged, or names other events than CD.
    """
    # A file without a header starts with an event, whose first byte may be a `%`. The last of its
    # eight bytes is never a letter, because the three highest bits are unused.
    first_line = head[:EVENT_BYTES].split(b"\n")[0]
    if not head.startswith(b"%") or _NOT_TEXT.search(first_line):
        return DatHeader()

    values, size = _parse_lines(head, path)
    if len(head) < size + 2:
        raise DataError(
            f"{path} ends after its header: no event type, no event. Copy or record it again."
        )
    _check_event_type(head[size], head[size + 1], path)
    version = values.get("version", 2)
    if version not in XY_BITS:
        raise DataError(f"`Version` in the header of {path} must be 1 or 2, but is {version}.")
    sensor_hw = (
        (values["height"], values["width"]) if {"height", "width"} <= values.keys() else None
    )
    return DatHeader(size + 2, version, sensor_hw)


def _format_header(event_type: int, sensor_hw: tuple[int, int] | None) -> bytes:
    """Return a version 2 header, including the bytes for type and size."""
    lines = [f"% Data file containing {CD_TYPES[event_type]} events.", "% Version 2"]
    if sensor_hw is not None:
        lines += [f"% Height {sensor_hw[0]}", f"% Width {sensor_hw[1]}"]
    return ("\n".join(lines) + "\n").encode() + bytes([event_type, EVENT_BYTES])


def _parse_lines(head: bytes, path: Path | str) -> tuple[dict[str, int], int]:
    """Return the numbers in the ``%`` lines, by lower-case name, and the end of these lines."""
    values: dict[str, int] = {}
    start, number = 0, 1
    while head.startswith(b"%", start):
        end = head.find(b"\n", start)
        line = head[start:end] if end >= 0 else head[start:]
        if end < 0 or _NOT_TEXT.search(line):
            raise DataError(
                f"Header line {number} of {path} never ends, or is not text. The file is damaged, "
                "or not a DAT file."
            )
        name, _, value = line.decode("latin-1")[1:].strip().partition(" ")
        if name.lower() in ("version", "height", "width"):
            # Version numbers may be written as `2.0`.
            if not re.fullmatch(r"\s*[1-9][0-9]{0,5}(\.0*)?\s*", value):
                raise DataError(
                    f"`{name}` in the header of {path} must be a positive number, but is {value!r}."
                )
            values[name.lower()] = int(float(value))
        start, number = end + 1, number + 1
    return values, start


def _check_event_type(event_type: int, event_bytes: int, path: Path | str) -> None:
    if event_type not in CD_TYPES:
        expected = " or ".join(f"{number} ({name})" for number, name in CD_TYPES.items())
        name = OTHER_TYPES.get(event_type, "unknown")
        raise DataError(
            f"The event type of {path} must be {expected}, but is {event_type} ({name}). Export "
            "the recording's CD events instead."
        )
    if event_bytes != EVENT_BYTES:
        raise DataError(
            f"The event size of {path} must be {EVENT_BYTES} bytes, but is {event_bytes}. The file "
            "is damaged, or not a DAT file."
        )


def _records(data: mmap.mmap, start: int, path: Path) -> np.ndarray:
    """Return a view of the stored events from byte ``start`` on."""
    if start == 0:
        reject_other_content(data[:MAX_HEADER_BYTES], path, "a DAT file")
    count, rest = divmod(len(data) - start, EVENT_BYTES)
    records = np.frombuffer(data, RECORD_DTYPE, count, start if count else 0)
    reject_zeros(records, path, "events")
    if rest:
        raise DataError(
            f"{path} is cut off, or not a DAT file: after {count} events of {EVENT_BYTES} bytes, "
            f"{rest} more bytes are left, at byte {len(data) - rest}. Copy it again."
        )
    if count == 0:
        raise DataError(f"{path} has a header, but no events. Copy or record it again.")
    if start == 0 and (records["word"][:PROBED_FOR_GARBAGE] >> UNUSED_BITS_FROM).any():
        raise DataError(
            f"{path} is not a DAT file: it has no header, and its first bytes are not events."
        )
    return records


def _check_gaps(events: np.ndarray, path: Path, *, first: int, last_us: int) -> None:
    """Check that the times can be restored from their low 32 bits."""
    gaps_us = np.diff(events["t_us"], prepend=last_us)
    limits_us = np.full(len(events), WRAP_FALL_US)
    limits_us[0] = WRAP_FALL_US if first else PERIOD_US
    reject_rows(
        gaps_us >= limits_us,
        "must come less than 2³¹ µs (35 min) after the previous one, or before 2³² µs if it is the "
        "first, since DAT keeps 32 bits of the time",
        events,
        name="Event",
        path=path,
        first=first,
    )
