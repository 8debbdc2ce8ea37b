"""Prophesee DAT files: contrast-detection events of 8 bytes, little-endian.

An event is the low 32 bits of its time in µs, then a word with x, y and the polarity, from its lowest bit up:
14, 14 and 1 bits in version 2, 9, 8 and 1 bits in version 1.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from easnn.events.checks import reject_rows
from easnn.events.clock import PERIOD_US, WRAP_FALL_US, RecordClock
from easnn.events.dat_header import CD_TYPES, EVENT_BYTES, MAX_HEADER_BYTES, format_header, parse_header
from easnn.events.mapping import map_file
from easnn.events.order import check_inside, check_writable
from easnn.events.types import EVENT_DTYPE
from easnn.utils.errors import DataError
from easnn.utils.files import atomic_write

RECORD_DTYPE = np.dtype([("counter", "<u4"), ("word", "<u4")])
XY_BITS = {1: (9, 8), 2: (14, 14)}
UNUSED_BITS_FROM = 29
PROBED_FOR_GARBAGE = 4096


class DatRecording:
    """A DAT file, memory-mapped: see :class:`easnn.events.Recording`, and :func:`open_dat` to open one.

    Times are unwrapped, and where events come late, the running maximum of the times written: see
    :mod:`easnn.events.clock` for the definition and the limits within which it is exact.
    """

    def __init__(self, path: Path, sensor_hw: tuple[int, int] | None) -> None:
        self.path = path
        self._given_hw = sensor_hw
        data = map_file(path)
        header = parse_header(data[:MAX_HEADER_BYTES], path)
        self.sensor_hw = sensor_hw or header.sensor_hw
        self._xy_bits = XY_BITS[header.version]
        self._records = _records(data, header.size, path)
        self._clock = RecordClock(self._records["counter"])

    def __reduce__(self) -> tuple[type[DatRecording], tuple[Path, tuple[int, int] | None]]:
        return DatRecording, (self.path, self._given_hw)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def first_us(self) -> int:
        """Time of the first event."""
        return self._clock.first_us

    @property
    def last_us(self) -> int:
        """Time of the last event."""
        return self._clock.last_us

    def window(self, start_us: int, end_us: int) -> np.ndarray:
        """Return the events with ``start_us <= t_us < end_us``: a fresh array of EVENT_DTYPE, sorted by time.

        Raises:
            DataError: if an event lies outside the sensor.
        """
        return self._decode(self._clock.search(start_us), self._clock.search(end_us))

    def events(self) -> np.ndarray:
        """Return all events: a fresh array of EVENT_DTYPE, sorted by time.

        Raises:
            DataError: if an event lies outside the sensor.
        """
        return self._decode(0, len(self))

    def late_events(self) -> int:
        """Return how many events come after one that is later than them; this reads the whole file."""
        return self._clock.late_records()

    def _decode(self, start: int, stop: int) -> np.ndarray:
        words = self._records["word"][start:stop]
        x_bits, y_bits = self._xy_bits
        events = np.empty(len(words), EVENT_DTYPE)
        events["t_us"] = self._clock.times(start, stop)
        events["x"] = words & (1 << x_bits) - 1
        events["y"] = words >> x_bits & (1 << y_bits) - 1
        events["p"] = words >> x_bits + y_bits & 1
        check_inside(events, self.sensor_hw, self.path, first=start)
        return events


def open_dat(path: Path | str, *, sensor_hw: tuple[int, int] | None = None) -> DatRecording:
    """Open a DAT file with contrast-detection events (type 0 or 12).

    Args:
        path: the file.
        sensor_hw: height and width of the sensor in pixels, instead of what the header says. Every event that
            is read must lie inside; if neither says it, coordinates are not checked.

    Raises:
        DataError: if the file is missing, empty, cut off, not a DAT file, or holds no CD events.
    """
    return DatRecording(Path(path), sensor_hw)


def write_dat(
    path: Path | str, events: np.ndarray, *, sensor_hw: tuple[int, int] | None = None, event_type: int = 12
) -> None:
    """Write ``events`` (EVENT_DTYPE) as a version 2 DAT file that :func:`open_dat` reads as the same events.

    The file is the same for the same events: the header carries no date.

    Args:
        path: the file; it is replaced only by a whole one.
        events: sorted by time.
        sensor_hw: height and width of the sensor in pixels, written to the header.
        event_type: 12 (CD) or 0 (Event2D, as in the Gen1 dataset).

    Raises:
        DataError: if the format cannot hold the events, naming the first one that is wrong.
        OutputError: if the file cannot be written.
    """
    write_dat_pieces(path, [events], sensor_hw=sensor_hw, event_type=event_type)


def write_dat_pieces(
    path: Path | str,
    pieces: Iterable[np.ndarray],
    *,
    sensor_hw: tuple[int, int] | None = None,
    event_type: int = 12,
) -> None:
    """Write events that come in pieces as one file, like :func:`write_dat`.

    Args:
        path: the file; it is replaced only by a whole one.
        pieces: events (EVENT_DTYPE), sorted by time over all pieces.
        sensor_hw: height and width of the sensor in pixels, written to the header.
        event_type: 12 (CD) or 0 (Event2D, as in the Gen1 dataset).

    Raises:
        DataError: if the format cannot hold the events, naming the first one that is wrong.
        OutputError: if the file cannot be written.
    """
    path = Path(path)
    if event_type not in CD_TYPES:
        raise DataError(f"The event type of {path} must be one of {sorted(CD_TYPES)}, but is {event_type}.")
    x_bits, y_bits = XY_BITS[2]
    header = format_header(event_type, sensor_hw)
    with atomic_write(path) as file:
        file.write(header)
        count, last_us = 0, 0
        for events in pieces:
            if len(events) == 0:
                continue
            check_writable(
                events, sensor_hw or (1 << y_bits, 1 << x_bits), path, first=count, last_us=last_us
            )
            _check_silences(events, path, first=count, last_us=last_us)
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
                f"{path} cannot hold so sparse a recording of {last_us / 6e7:.0f} min, since DAT keeps 32 "
                "bits of the time. Write HDF5 instead."
            )


def _records(data: mmap.mmap, start: int, path: Path) -> np.ndarray:
    """Return the events from byte ``start`` on, as they are in the file."""
    count, rest = divmod(len(data) - start, EVENT_BYTES)
    if rest:
        raise DataError(
            f"{path} is cut off, or not a DAT file: after {count} events of {EVENT_BYTES} bytes, {rest} more "
            f"bytes are left, at byte {len(data) - rest}. Copy it again."
        )
    if count == 0:
        raise DataError(f"{path} has a header, but no events. Copy or record it again.")
    records = np.frombuffer(data, RECORD_DTYPE, offset=start)
    if start == 0 and (records["word"][:PROBED_FOR_GARBAGE] >> UNUSED_BITS_FROM).any():
        raise DataError(f"{path} is not a DAT file: it has no header, and its first bytes are no events.")
    return records


def _check_silences(events: np.ndarray, path: Path, *, first: int, last_us: int) -> None:
    """Check that the times can be told from their low 32 bits."""
    silences = np.diff(events["t_us"], prepend=last_us)
    limits = np.full(len(events), WRAP_FALL_US)
    limits[0] = limits[0] if first else PERIOD_US
    reject_rows(
        silences >= limits,
        "must come less than 2³¹ µs (35 min) after the one before it, or before 2³² µs if it is the first, "
        "since DAT keeps 32 bits of the time",
        events,
        name="Event",
        path=path,
        first=first,
    )
