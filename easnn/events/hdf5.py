"""HDF5 files with the events in columns: raw files of RVT, eTraM and DSEC.

The group ``events`` contains ``t`` (µs), ``x``, ``y`` and ``p`` [N], and optionally ``height`` and
``width``. DSEC adds ``t_offset``, to be added to all times, and ``ms_to_idx``: for every ms the
index of the first event at or after it.
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

from easnn.events.checks import (
    LATE_US,
    NO_TIME_US,
    check_writable,
    reject_late,
    restore_order,
    running_maximum,
)
from easnn.events.columns import COLUMNS, check_columns, keeps_far, pack_columns
from easnn.events.evidence import ZERO_ROWS, reject_zeros
from easnn.events.hdf5_file import StoredDataset, hdf5_output, open_file
from easnn.events.outside import Outside
from easnn.utils.errors import DataError
from easnn.utils.files import atomic_write

BLOCK_EVENTS = 65_536
"""How many events a search reads at a time; also how many places late an event may be."""

PROBED_EVENTS = 16
"""How many times, at most, are compared when a file is opened."""

LIMIT_HW = (65_536, 65_536)
CHUNK_EVENTS = 65_536
STORED_DTYPES = {"t": "<i8", "x": "<u2", "y": "<u2", "p": "u1"}
_MAX_OFFSET_US = 2**61


class Hdf5Recording:
    """An HDF5 file, a :class:`~easnn.events.Recording`; opened by :func:`open_hdf5`.

    Only the parts needed for a window are read. If events are late, times are the running maximum
    of the stored times.
    """

    def __init__(
        self, path: Path, sensor_hw: tuple[int, int] | None, drop_invalid: bool = False
    ) -> None:
        self.path = path
        self._given_hw = sensor_hw
        file = open_file(path)
        try:
            datasets = _datasets(file, path)
            stored = {
                name: StoredDataset(dataset, name, path) for name, dataset in datasets.items()
            }
            self._columns = {name: stored[f"events/{name}"] for name in COLUMNS}
            shapes = {name: (column.dtype, column.shape) for name, column in self._columns.items()}
            self._count = check_columns(shapes, path, "events/")
            height = _number(datasets, "events/height", 1, LIMIT_HW[0], path)
            width = _number(datasets, "events/width", 1, LIMIT_HW[1], path)
            self._offset_us = (
                _number(datasets, "t_offset", -_MAX_OFFSET_US, _MAX_OFFSET_US, path) or 0
            )
            self._ms_to_idx = _ms_to_idx(stored.get("ms_to_idx"), path)
        except DataError:
            file.close()
            raise
        except Exception as error:  # damaged files make HDF5 raise almost any type
            file.close()
            raise DataError(f"{path} is damaged: {error}. Copy it again.") from error
        self.sensor_hw = sensor_hw or ((height, width) if height and width else None)
        self._outside = Outside(path, self.sensor_hw, drop=drop_invalid)
        self._keep_far = keeps_far(self.sensor_hw, drop_invalid=drop_invalid)
        self._dropped = None if drop_invalid else 0
        self.first_us = self._time(0)
        last_times_us = self._times(max(0, self._count - BLOCK_EVENTS), self._count)
        self.last_us = int(last_times_us.max())
        self._reject_zeros(last_times_us[-ZERO_ROWS:] - self._offset_us)
        self._reject_restart()

    def __reduce__(self) -> tuple[type[Hdf5Recording], tuple[Path, tuple[int, int] | None, bool]]:
        return Hdf5Recording, (self.path, self._given_hw, self._outside.drop)

    def __len__(self) -> int:
        return self._count - self.dropped_events()

    def window(self, start_us: int, end_us: int) -> np.ndarray:
        """See :meth:`easnn.events.Recording.window`.

        Raises:
            DataError: if an event lies outside the sensor, is more than 1 s late or cannot be read.
        """
        return self._slice(self._search(start_us), self._search(end_us), before_us=end_us)

    def events(self) -> np.ndarray:
        """See :meth:`easnn.events.Recording.events`; the errors are those of :meth:`window`."""
        return self._slice(0, self._count)

    def late_events(self) -> int:
        """See :meth:`easnn.events.StoredRecording.late_events`; this reads all times.

        Raises:
            DataError: if they cannot be read, or an event is more than 1 s late.
        """
        late, latest_us = 0, NO_TIME_US
        for start in range(0, self._count, BLOCK_EVENTS):
            times_us = self._times(start, min(start + BLOCK_EVENTS, self._count))
            late_us = running_maximum(times_us, latest_us) - times_us
            late += int(np.count_nonzero(late_us))
            if (late_us > LATE_US).any():
                self._reject_late(start + int((late_us > LATE_US).argmax()))
            latest_us = max(latest_us, int(times_us.max()))
        return late

    def dropped_events(self) -> int:
        """See :meth:`easnn.events.StoredRecording.dropped_events`.

        Raises:
            DataError: if the events cannot be read.
        """
        if self._dropped is None:
            starts = range(0, self._count, BLOCK_EVENTS)
            self._dropped = self._outside.count(
                self._as_stored(start, min(start + BLOCK_EVENTS, self._count), offset_us=0)
                for start in starts
            )
        return self._dropped

    def _reject_zeros(self, last_times_us: npt.NDArray[np.int64]) -> None:
        """Raise an error if the last events, with these stored times, are zero in every byte."""
        if not last_times_us.any():
            first = max(0, self._count - BLOCK_EVENTS)
            events = self._as_stored(first, self._count, offset_us=0)
            reject_zeros(events, self.path, "events", first=first)

    def _reject_restart(self) -> None:
        """Raise an error if the clock restarted between some of the events."""
        numbers = range(0, self._count, max(BLOCK_EVENTS, -(-self._count // PROBED_EVENTS)))
        times_us = np.array([self._time(number) for number in numbers])
        too_late = running_maximum(times_us, NO_TIME_US) - times_us > LATE_US
        if too_late.any():
            self._reject_late(numbers[int(too_late.argmax())])

    def _reject_late(self, number: int) -> None:
        event = self._as_stored(number, number + 1, offset_us=self._offset_us)
        reject_late(np.ones(1, bool), event, self.path, first=number)

    def _as_stored(self, start: int, stop: int, *, offset_us: int) -> np.ndarray:
        """Return some events, with their times in the order of the file."""
        columns = {name: column.read(start, stop) for name, column in self._columns.items()}
        return pack_columns(
            columns, self.path, first=start, offset_us=offset_us, keep_far=self._keep_far
        )

    def _slice(self, start: int, stop: int, *, before_us: int | None = None) -> np.ndarray:
        """Return some events; with `ms_to_idx`, they must be earlier than ``before_us``."""
        stop = max(start, stop)
        events = self._as_stored(start, stop, offset_us=self._offset_us)
        if len(events):
            restore_order(events, self.path, first=start)
            latest_us = int(events["t_us"][-1])
            if self._ms_to_idx is not None and before_us is not None and latest_us >= before_us:
                raise DataError(
                    f"`ms_to_idx` of {self.path} must tell the first event at or after each ms, "
                    f"but the time of an event before {before_us} µs is {latest_us} µs. Write the "
                    "file again from its recording."
                )
        self._outside.check(events, first=start)
        return self._outside.kept(events, first=start)

    def _search(self, time_us: int) -> int:
        """Return the number of the first event at or after ``time_us``, N if there is none."""
        if time_us <= self.first_us:
            return 0
        if time_us > self.last_us:
            return self._count
        if self._ms_to_idx is not None:
            return self._search_by_ms(self._ms_to_idx, time_us - self._offset_us)
        starts = range(0, self._count, BLOCK_EVENTS)
        after = bisect_left(starts, time_us, key=self._time)
        # An event may be later than the first one of the next block.
        begin, end = max(0, after - 2) * BLOCK_EVENTS, min(after * BLOCK_EVENTS, self._count)
        reached = self._times(begin, end) >= time_us
        return begin + int(reached.argmax()) if reached.any() else end

    def _search_by_ms(self, ms_to_idx: StoredDataset, stored_us: int) -> int:
        """Return the number of the first event whose stored time is ``stored_us`` or later."""
        ms = stored_us // 1000
        first, second = (ms_to_idx.read(ms, ms + 2).tolist() + [self._count] * 2)[:2]
        if not 0 <= first <= second <= self._count:
            raise DataError(
                f"`ms_to_idx` of {self.path} must rise from 0 to the {self._count} events, but is "
                f"{first} and {second} for {ms} and {ms + 1} ms."
            )
        begin, end = max(0, first - 1), min(second + 1, self._count)
        times = self._times(begin, end) - self._offset_us
        for checked_ms, bound in ((ms, first), (ms + 1, second)):
            found = begin + int(np.searchsorted(times, 1000 * checked_ms))
            if (np.diff(times) < 0).any() or found != bound:
                raise DataError(
                    f"`ms_to_idx` of {self.path} must tell the first event at or after each ms, "
                    f"but says that for {checked_ms} ms it is event {bound}. Write the file again "
                    "from its recording."
                )
        return begin + int(np.searchsorted(times, stored_us))

    def _time(self, index: int) -> int:
        return int(self._times(index, index + 1)[0])

    def _times(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        return self._columns["t"].read(start, stop).astype(np.int64) + self._offset_us


def open_hdf5(
    path: Path | str, *, sensor_hw: tuple[int, int] | None = None, drop_invalid: bool = False
) -> Hdf5Recording:
    """Open an HDF5 file with the events in columns (RVT raw, eTraM, DSEC).

    Args:
        path: the file.
        sensor_hw: height and width of the sensor in pixels; overrides the size in the file. Every
            event that is read must lie inside. If neither is given, coordinates are not checked.
        drop_invalid: whether to drop single events outside of the sensor instead of raising an
            error when they are read.

    Raises:
        DataError: if the file is missing, damaged, in another layout, without events, or compressed
            by a filter that is not available.
    """
    return Hdf5Recording(Path(path), sensor_hw, drop_invalid)


def write_hdf5(
    path: Path | str, events: np.ndarray, *, sensor_hw: tuple[int, int] | None = None
) -> None:
    """Write sorted ``events`` (EVENT_DTYPE) as an HDF5 file; see :func:`write_hdf5_pieces`."""
    write_hdf5_pieces(path, [events], sensor_hw=sensor_hw)


def write_hdf5_pieces(
    path: Path | str, pieces: Iterable[np.ndarray], *, sensor_hw: tuple[int, int] | None = None
) -> None:
    """Write events as an HDF5 file; :func:`open_hdf5` returns the same events.

    The columns are compressed by Blosc (zstd). The same pieces always give the same file.

    Args:
        path: the file, written atomically.
        pieces: arrays of events (EVENT_DTYPE), sorted by time over all pieces; at least one event.
        sensor_hw: height and width of the sensor in pixels, stored in the file.

    Raises:
        DataError: if an event is before 0 µs, not in order, or outside the sensor.
        OutputError: if the file cannot be written.
    """
    path = Path(path)
    with atomic_write(path) as file, hdf5_output(file) as (stored, check_disk):
        columns = {
            name: stored.create_dataset(
                f"events/{name}",
                shape=(0,),
                maxshape=(None,),
                dtype=dtype,
                chunks=(CHUNK_EVENTS,),
                **hdf5plugin.Blosc(cname="zstd", clevel=1, shuffle=hdf5plugin.Blosc.SHUFFLE),
            )
            for name, dtype in STORED_DTYPES.items()
        }
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
            check_disk()
            count, last_us = count + len(events), int(events["t_us"][-1])
        if count == 0:
            raise DataError(f"{path} must get at least one event, but gets none.")


def _datasets(file: Any, path: Path) -> dict[str, Any]:
    """Return the datasets described at the top of this module, by their path in the file."""
    if "CD/events" in file:
        raise DataError(
            f"{path} is in Prophesee's own HDF5 layout (CD/events, ECF filter), which cannot be "
            "read here. Convert it to DAT with `metavision_file_to_dat -i FILE` of the Metavision "
            "SDK or OpenEB."
        )
    needed = [f"events/{name}" for name in COLUMNS]
    optional = ["events/height", "events/width", "ms_to_idx", "t_offset"]
    found = {name: file[name] for name in needed + optional if name in file}
    missing = [name for name in needed if not isinstance(found.get(name), h5py.Dataset)]
    if missing:
        raise DataError(
            f"{path} must have the datasets {', '.join(needed)}, but {', '.join(missing)} is "
            "missing."
        )
    return found


def _number(datasets: dict[str, Any], name: str, low: int, high: int, path: Path) -> int | None:
    if name not in datasets:
        return None
    value = np.asarray(datasets[name][()])
    if value.size != 1 or value.dtype.kind not in "iu" or not low <= value.item() <= high:
        raise DataError(
            f"`{name}` of {path} must be one number from {low} to {high}, but is {value}."
        )
    return int(value.item())


def _ms_to_idx(dataset: StoredDataset | None, path: Path) -> StoredDataset | None:
    if dataset is not None and (dataset.dtype.kind not in "iu" or len(dataset.shape) != 1):
        raise DataError(
            f"`ms_to_idx` of {path} must be integers [ms], but is {dataset.dtype} "
            f"{list(dataset.shape)}."
        )
    return dataset
