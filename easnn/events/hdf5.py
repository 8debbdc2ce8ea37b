"""HDF5 files with the events in columns, as the raw files of RVT, eTraM and DSEC.

The group ``events`` holds ``t`` (µs), ``x``, ``y`` and ``p`` [N], and perhaps ``height`` and ``width``. DSEC
adds ``t_offset``, to be added to all times, and ``ms_to_idx``: for every ms the number of the first event at
or after it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import numpy.typing as npt

from easnn.events.columns import COLUMNS, pack_columns
from easnn.events.hdf5_layout import Layout, read_layout
from easnn.events.order import NO_TIME_US, check_inside, check_writable, restore_order
from easnn.utils.errors import DataError
from easnn.utils.files import atomic_write

BLOCK_EVENTS = 65_536
"""How many events are looked at together in a search, and how many events later one may come."""

LIMIT_HW = (65_536, 65_536)
CHUNK_EVENTS = 65_536
STORED_DTYPES = {"t": "<i8", "x": "<u2", "y": "<u2", "p": "u1"}


class Hdf5Recording:
    """An HDF5 file: see :class:`easnn.events.Recording`, and :func:`open_hdf5` to open one.

    Only the parts that a window needs are read. Where events come late, their time is the running maximum.
    """

    def __init__(self, path: Path, sensor_hw: tuple[int, int] | None) -> None:
        self.path = path
        self._given_hw = sensor_hw
        self._layout: Layout = read_layout(path)
        self.sensor_hw = sensor_hw or self._layout.sensor_hw
        self.first_us = self._time(0)
        self.last_us = int(self._times(max(0, len(self) - BLOCK_EVENTS), len(self)).max())

    def __reduce__(self) -> tuple[type[Hdf5Recording], tuple[Path, tuple[int, int] | None]]:
        return Hdf5Recording, (self.path, self._given_hw)

    def __len__(self) -> int:
        return self._layout.count

    def window(self, start_us: int, end_us: int) -> np.ndarray:
        """Return the events with ``start_us <= t_us < end_us``: a fresh array of EVENT_DTYPE, sorted by time.

        Raises:
            DataError: if an event lies outside the sensor, comes more than 1 s late or cannot be read.
        """
        return self._slice(self._search(start_us), self._search(end_us))

    def events(self) -> np.ndarray:
        """Return all events: a fresh array of EVENT_DTYPE, sorted by time.

        Raises:
            DataError: if an event lies outside the sensor, comes more than 1 s late or cannot be read.
        """
        return self._slice(0, len(self))

    def late_events(self) -> int:
        """Return how many events come after one that is later than them; this reads all times.

        Raises:
            DataError: if they cannot be read.
        """
        late, latest_us = 0, NO_TIME_US
        for start in range(0, len(self), BLOCK_EVENTS):
            times_us = self._times(start, min(start + BLOCK_EVENTS, len(self)))
            before_us = np.maximum.accumulate(np.concatenate([[latest_us], times_us]))
            late += int(np.count_nonzero(times_us < before_us[:-1]))
            latest_us = before_us[-1]
        return late

    def _slice(self, start: int, stop: int) -> np.ndarray:
        stop = max(start, stop)
        columns = {name: self._read(name, start, stop) for name in COLUMNS}
        events = pack_columns(columns, self.path, first=start, offset_us=self._layout.offset_us)
        if len(events):
            restore_order(events, self.path, first=start)
        check_inside(events, self.sensor_hw, self.path, first=start)
        return events

    def _search(self, time_us: int) -> int:
        """Return the number of the first event at or after ``time_us``, N if there is none."""
        if time_us <= self.first_us:
            return 0
        if time_us > self.last_us:
            return len(self)
        if self._layout.ms_to_idx is not None:
            return self._search_by_ms(time_us - self._layout.offset_us)
        starts = range(0, len(self), BLOCK_EVENTS)
        after = bisect_left(starts, time_us, key=self._time)
        # An event of an earlier block may be later than the first one of the next.
        begin, end = max(0, after - 2) * BLOCK_EVENTS, min(after * BLOCK_EVENTS, len(self))
        reached = self._times(begin, end) >= time_us
        return begin + int(reached.argmax()) if reached.any() else end

    def _search_by_ms(self, stored_us: int) -> int:
        """Return the number of the first event whose stored time is ``stored_us`` or later."""
        bounds = self._layout.ms_bounds(stored_us // 1000)
        begin, end = max(0, bounds[0] - 1), min(bounds[1] + 1, len(self))
        times = self._times(begin, end) - self._layout.offset_us
        for ms, bound in zip((stored_us // 1000, stored_us // 1000 + 1), bounds, strict=True):
            found = begin + int(np.searchsorted(times, 1000 * ms))
            if (np.diff(times) < 0).any() or found != bound:
                raise DataError(
                    f"`ms_to_idx` of {self.path} must tell the first event at or after each ms, but says "
                    f"that for {ms} ms it is event {bound}. Write the file again from its recording."
                )
        return begin + int(np.searchsorted(times, stored_us))

    def _time(self, index: int) -> int:
        return int(self._times(index, index + 1)[0])

    def _times(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        return self._read("t", start, stop).astype(np.int64) + self._layout.offset_us

    def _read(self, name: str, start: int, stop: int) -> np.ndarray:
        return self._layout.columns[name].read(start, stop)


def open_hdf5(path: Path | str, *, sensor_hw: tuple[int, int] | None = None) -> Hdf5Recording:
    """Open an HDF5 file with the events in columns (RVT raw, eTraM, DSEC).

    Args:
        path: the file.
        sensor_hw: height and width of the sensor in pixels, instead of what the file says. Every event that
            is read must lie inside; if neither says it, coordinates are not checked.

    Raises:
        DataError: if the file is missing, damaged, in another layout, without events, or compressed by a
            filter that is not there.
    """
    return Hdf5Recording(Path(path), sensor_hw)


def write_hdf5(path: Path | str, events: np.ndarray, *, sensor_hw: tuple[int, int] | None = None) -> None:
    """Write ``events`` (EVENT_DTYPE) as an HDF5 file that :func:`open_hdf5` reads as the same events.

    The columns are compressed by Blosc (zstd); the same events give the same file.

    Args:
        path: the file; it is replaced only by a whole one.
        events: sorted by time; at least one.
        sensor_hw: height and width of the sensor in pixels, written to the file.

    Raises:
        DataError: if an event is before 0 µs, not in order, or outside the sensor.
        OutputError: if the file cannot be written.
    """
    write_hdf5_pieces(path, [events], sensor_hw=sensor_hw)


def write_hdf5_pieces(
    path: Path | str, pieces: Iterable[np.ndarray], *, sensor_hw: tuple[int, int] | None = None
) -> None:
    """Write events that come in pieces as one file, like :func:`write_hdf5`.

    Args:
        path: the file; it is replaced only by a whole one.
        pieces: events (EVENT_DTYPE), sorted by time over all pieces; at least one event.
        sensor_hw: height and width of the sensor in pixels, written to the file.

    Raises:
        DataError: if an event is before 0 µs, not in order, or outside the sensor.
        OutputError: if the file cannot be written.
    """
    path = Path(path)
    with atomic_write(path) as file, h5py.File(file.name, "w") as stored:
        columns = {name: _column(stored, name, dtype) for name, dtype in STORED_DTYPES.items()}
        if sensor_hw is not None:
            stored["events/height"], stored["events/width"] = sensor_hw
        count, last_us = 0, 0
        for events in pieces:
            if len(events) == 0:
                continue
            check_writable(events, sensor_hw or LIMIT_HW, path, first=count, last_us=last_us)
            for name, column in columns.items():
                column.resize(count + len(events), axis=0)
                column[count:] = events["t_us" if name == "t" else name]
            count, last_us = count + len(events), int(events["t_us"][-1])
        if count == 0:
            raise DataError(f"{path} must get at least one event, but gets none.")


def _column(file: Any, name: str, dtype: str) -> Any:
    return file.create_dataset(
        f"events/{name}",
        shape=(0,),
        maxshape=(None,),
        dtype=dtype,
        chunks=(CHUNK_EVENTS,),
        **hdf5plugin.Blosc(cname="zstd", clevel=1, shuffle=hdf5plugin.Blosc.SHUFFLE),
    )
