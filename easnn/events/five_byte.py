"""Files of 5 bytes for each event, as N-MNIST and N-Caltech101 come in; no header.

The bytes of an event are x, y, the polarity (highest bit) with bits 22 to 16 of the time, bits 15 to 8 of the
time, and its bits 7 to 0. So a recording lasts less than 2²³ µs (8.4 s).
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from easnn.events.checks import reject_rows
from easnn.events.types import EVENT_DTYPE
from easnn.utils.errors import DataError
from easnn.utils.files import atomic_write

EVENT_BYTES = 5
TIME_BITS = 23
MAX_FALL_US = 1 << TIME_BITS - 1
MAX_FILE_BYTES = 1 << 30


class FiveByteRecording:
    """A 5-byte file: see :class:`easnn.events.Recording`, and :func:`open_five_byte` to open one.

    Where events come late, the time of an event is the greatest time up to it.
    """

    def __init__(self, path: Path, sensor_hw: tuple[int, int] | None) -> None:
        self.path = path
        self.sensor_hw = sensor_hw
        self._bytes = _read(path)
        written = self._written_us()
        fall = np.diff(written, prepend=written[:1]) < -MAX_FALL_US
        rows = written.view([("t_us", "<i4")])
        rule = "must not be over 2²² µs (4.2 s) before the one before it: the file is damaged or too long"
        reject_rows(fall, rule, rows, name="Event", path=path)
        self._times_us = np.maximum.accumulate(written)

    def __reduce__(self) -> tuple[type[FiveByteRecording], tuple[Path, tuple[int, int] | None]]:
        return FiveByteRecording, (self.path, self.sensor_hw)

    def __len__(self) -> int:
        return len(self._times_us)

    @property
    def first_us(self) -> int:
        """Time of the first event."""
        return int(self._times_us[0])

    @property
    def last_us(self) -> int:
        """Time of the last event."""
        return int(self._times_us[-1])

    def window(self, start_us: int, end_us: int) -> np.ndarray:
        """Return the events with ``start_us <= t_us < end_us``: a fresh array of EVENT_DTYPE, sorted by time.

        Raises:
            DataError: if an event lies outside the sensor.
        """
        start, stop = np.searchsorted(self._times_us, (start_us, end_us))
        return self._decode(int(start), int(stop))

    def events(self) -> np.ndarray:
        """Return all events: a fresh array of EVENT_DTYPE, sorted by time.

        Raises:
            DataError: if an event lies outside the sensor.
        """
        return self._decode(0, len(self))

    def late_events(self) -> int:
        """Return how many events come after one that is later than them."""
        return int(np.count_nonzero(self._written_us() < self._times_us))

    def _written_us(self) -> np.ndarray:
        """Return the times as they are in the file, [N] int32."""
        high, middle, low = self._bytes[:, 2:].astype(np.int32).T
        times: np.ndarray = (high & 0x7F) << 16 | middle << 8 | low
        return times

    def _decode(self, start: int, stop: int) -> np.ndarray:
        columns = self._bytes[start:stop]
        events = np.empty(len(columns), EVENT_DTYPE)
        events["t_us"] = self._times_us[start:stop]
        events["x"], events["y"], events["p"] = columns[:, 0], columns[:, 1], columns[:, 2] >> 7
        if self.sensor_hw is not None:
            _check_inside(events, self.sensor_hw, self.path, first=start)
        return events


def open_five_byte(path: Path | str, *, sensor_hw: tuple[int, int] | None = None) -> FiveByteRecording:
    """Open a 5-byte file.

    Args:
        path: the file; it is read as a whole.
        sensor_hw: height and width of the sensor in pixels, which the format does not say. If given, every
            event that is read must lie inside.

    Raises:
        DataError: if the file is missing, empty, cut off, larger than 1 GiB, or its time falls by more than
            2²² µs.
    """
    return FiveByteRecording(Path(path), sensor_hw)


def write_five_byte(path: Path | str, events: np.ndarray) -> None:
    """Write ``events`` (EVENT_DTYPE) as a file that :func:`open_five_byte` reads as the same events.

    Args:
        path: the file; it is replaced only by a whole one.
        events: sorted by time.

    Raises:
        DataError: if the format cannot hold the events, naming the first one that is wrong.
        OutputError: if the file cannot be written.
    """
    path = Path(path)
    if len(events) == 0:
        raise DataError(f"{path} must get at least one event, but gets none.")
    t_us = events["t_us"]
    reject = functools.partial(reject_rows, rows=events, name="Event", path=path)
    reject((t_us < 0) | (t_us >= 1 << TIME_BITS), "must have a time of 0 to 2²³ − 1 µs (8.4 s)")
    reject(np.diff(t_us, prepend=t_us[0]) < 0, "must not be before the event before it")
    reject(events["p"] > 1, "must have a polarity of 0 or 1")
    _check_inside(events, (256, 256), path)
    records = np.empty((len(events), EVENT_BYTES), np.uint8)
    records[:, 0], records[:, 1] = events["x"], events["y"]
    records[:, 2] = events["p"] << 7 | t_us >> 16
    records[:, 3], records[:, 4] = t_us >> 8 & 0xFF, t_us & 0xFF
    with atomic_write(path) as file:
        file.write(records.data)


def _read(path: Path) -> np.ndarray:
    """Return the bytes of the events, [N, 5]."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise DataError(f"{path} is no 5-byte recording of less than 8.4 s: it has {size} bytes.")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    count, rest = divmod(len(data), EVENT_BYTES)
    if not data:
        raise DataError(f"{path} is empty (0 bytes). Copy or record it again.")
    if rest:
        raise DataError(
            f"{path} is cut off, or not a file of 5-byte events: after {count} events, {rest} more bytes are "
            f"left, at byte {len(data) - rest}. Copy it again."
        )
    return np.frombuffer(data, np.uint8).reshape(count, EVENT_BYTES)


def _check_inside(events: np.ndarray, sensor_hw: tuple[int, int], path: Path, first: int = 0) -> None:
    height, width = sensor_hw
    outside = (events["x"] >= width) | (events["y"] >= height)
    rule = f"must lie inside the sensor, {width}×{height} pixels"
    reject_rows(outside, rule, events, name="Event", path=path, first=first)
