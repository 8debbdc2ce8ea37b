"""What an HDF5 file of events must look like, checked before anything large is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from easnn.events.columns import COLUMNS, check_columns
from easnn.events.hdf5_file import StoredDataset, open_file
from easnn.utils.errors import DataError

_MAX_OFFSET_US = 2**61
_MAX_SIDE_PX = 65_536


@dataclass(frozen=True)
class Layout:
    """The datasets of a file.

    Attributes:
        path: the file.
        count: events.
        columns: the datasets t, x, y and p [count].
        sensor_hw: height and width in pixels, None if the file does not say.
        offset_us: to be added to the times.
        ms_to_idx: number of the first event at or after each ms, None if there is none.
    """

    path: Path
    count: int
    columns: dict[str, StoredDataset]
    sensor_hw: tuple[int, int] | None
    offset_us: int
    ms_to_idx: StoredDataset | None

    def ms_bounds(self, ms: int) -> tuple[int, int]:
        """Return the first event at or after ``ms`` and after the next ms, as ``ms_to_idx`` tells.

        Raises:
            DataError: if it tells what cannot be.
        """
        assert self.ms_to_idx is not None
        stored = self.ms_to_idx.read(ms, ms + 2).tolist()
        first, second = (stored + [self.count] * 2)[:2]
        if not 0 <= first <= second <= self.count:
            raise DataError(
                f"`ms_to_idx` of {self.path} must rise from 0 to the {self.count} events, but is {first} and "
                f"{second} for {ms} and {ms + 1} ms."
            )
        return first, second


def read_layout(path: Path) -> Layout:
    """Open a file and check everything but the events themselves.

    Raises:
        DataError: if the file cannot be opened or read.
    """
    file = open_file(path)
    try:
        datasets = _datasets(file, path)
        stored = {name: StoredDataset(dataset, name, path) for name, dataset in datasets.items()}
        columns = {name: stored[f"events/{name}"] for name in COLUMNS}
        return Layout(
            path,
            check_columns(
                {name: (column.dtype, column.shape) for name, column in columns.items()}, path, "events/"
            ),
            columns,
            _sensor_hw(datasets, path),
            _number(datasets, "t_offset", -_MAX_OFFSET_US, _MAX_OFFSET_US, path) or 0,
            _ms_to_idx(stored.get("ms_to_idx"), path),
        )
    except DataError:
        file.close()
        raise
    except Exception as error:
        file.close()
        raise DataError(f"{path} is damaged: {error}. Copy it again.") from error


def _datasets(file: Any, path: Path) -> dict[str, Any]:
    """Return the datasets that have a meaning here, by their path in the file."""
    if "CD/events" in file:
        raise DataError(
            f"{path} is in Prophesee's own HDF5 layout (CD/events, ECF filter), which cannot be read here. "
            "Convert it to DAT with `metavision_file_to_dat -i FILE` of the Metavision SDK or OpenEB."
        )
    needed = [f"events/{name}" for name in COLUMNS]
    optional = ["events/height", "events/width", "ms_to_idx", "t_offset"]
    found = {name: file[name] for name in needed + optional if name in file}
    missing = [name for name in needed if not isinstance(found.get(name), h5py.Dataset)]
    if missing:
        raise DataError(
            f"{path} must have the datasets {', '.join(needed)}, but {', '.join(missing)} is missing."
        )
    return found


def _sensor_hw(datasets: dict[str, Any], path: Path) -> tuple[int, int] | None:
    height = _number(datasets, "events/height", 1, _MAX_SIDE_PX, path)
    width = _number(datasets, "events/width", 1, _MAX_SIDE_PX, path)
    return (height, width) if height and width else None


def _number(datasets: dict[str, Any], name: str, low: int, high: int, path: Path) -> int | None:
    if name not in datasets:
        return None
    value = np.asarray(datasets[name][()])
    if value.size != 1 or value.dtype.kind not in "iu" or not low <= value.item() <= high:
        raise DataError(f"`{name}` of {path} must be one number from {low} to {high}, but is {value}.")
    return int(value.item())


def _ms_to_idx(dataset: StoredDataset | None, path: Path) -> StoredDataset | None:
    if dataset is not None and (dataset.dtype.kind not in "iu" or len(dataset.shape) != 1):
        raise DataError(
            f"`ms_to_idx` of {path} must be integers [ms], but is {dataset.dtype} {list(dataset.shape)}."
        )
    return dataset
