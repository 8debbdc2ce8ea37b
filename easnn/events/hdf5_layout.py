"""What an HDF5 file of events must look like, checked before anything large is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers the filters of the datasets)
import numpy as np

from easnn.events.columns import COLUMNS, check_columns
from easnn.events.hdf5_chunks import ChunkCheck
from easnn.events.mapping import map_file
from easnn.utils.errors import DataError

ECF_FILTER = 0x8ECF
MAX_CHUNK_BYTES = 2**28
_MAX_OFFSET_US = 2**61
_MAX_SIDE_PX = 65_536


@dataclass(frozen=True)
class Layout:
    """The datasets of a file.

    Attributes:
        path: the file.
        count: events.
        columns: the datasets t, x, y and p [count].
        chunks: what checks the chunks of a dataset before they are read, by the last part of its path.
        sensor_hw: height and width in pixels, None if the file does not say.
        offset_us: to be added to the times.
        ms_to_idx: number of the first event at or after each ms, None if there is none.
    """

    path: Path
    count: int
    columns: dict[str, Any]
    chunks: dict[str, ChunkCheck]
    sensor_hw: tuple[int, int] | None
    offset_us: int
    ms_to_idx: Any

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Return the entries ``start`` to ``stop`` of a column.

        Raises:
            DataError: if the file is damaged there.
        """
        return _read(self.columns[name], f"events/{name}", start, stop, self.path, self.chunks[name])

    def ms_bounds(self, ms: int) -> tuple[int, int]:
        """Return the first event at or after ``ms`` and after the next ms, as ``ms_to_idx`` tells.

        Raises:
            DataError: if it tells what cannot be.
        """
        stored = _read(self.ms_to_idx, "ms_to_idx", ms, ms + 2, self.path, self.chunks["ms_to_idx"]).tolist()
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
    with map_file(path) as data:
        size = len(data)
    try:
        file = h5py.File(path, "r")
    except Exception as error:  # HDF5 raises nearly anything when a file is damaged
        raise DataError(f"{path} is not a whole HDF5 file: {error}. Copy it again.") from error
    try:
        datasets = _datasets(file, path)
        for name, dataset in datasets.items():
            _check_storage(dataset, name, size, path)
        shapes = {
            name: (datasets[f"events/{name}"].dtype, datasets[f"events/{name}"].shape) for name in COLUMNS
        }
        return Layout(
            path,
            check_columns(shapes, path, "events/"),
            {name: datasets[f"events/{name}"] for name in COLUMNS},
            {name.removeprefix("events/"): ChunkCheck(dataset) for name, dataset in datasets.items()},
            _sensor_hw(datasets, path),
            _number(datasets, "t_offset", -_MAX_OFFSET_US, _MAX_OFFSET_US, path) or 0,
            _ms_to_idx(datasets, path),
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


def _check_storage(dataset: Any, name: str, file_bytes: int, path: Path) -> None:
    """Check that filters can be undone, and that the file holds what the shape promises."""
    stored = dataset.id.get_create_plist()
    for number in range(stored.get_nfilters()):
        code = stored.get_filter(number)[0]
        if not h5py.h5z.filter_avail(code):
            what = "Prophesee's ECF" if code == ECF_FILTER else f"number {code}"
            raise DataError(
                f"`{name}` of {path} is compressed by an HDF5 filter that neither h5py nor hdf5plugin has "
                f"({what}). Write it again with Blosc or gzip."
            )
    promised = dataset.size * dataset.dtype.itemsize
    if dataset.chunks is None:
        held = dataset.id.get_storage_size() if stored.get_external_count() == 0 else 0
        whole = promised <= held <= file_bytes
    else:
        chunk = int(np.prod(dataset.chunks, dtype=object))
        whole = (
            chunk * dataset.dtype.itemsize <= MAX_CHUNK_BYTES
            and dataset.size <= chunk * dataset.id.get_num_chunks()
            and dataset.id.get_storage_size() <= file_bytes
        )
    if not whole:
        raise DataError(
            f"`{name}` of {path} promises {promised} bytes, which the file does not hold. The file is "
            "damaged; copy it again."
        )


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


def _ms_to_idx(datasets: dict[str, Any], path: Path) -> Any:
    dataset = datasets.get("ms_to_idx")
    if dataset is not None and (dataset.dtype.kind not in "iu" or dataset.ndim != 1):
        raise DataError(
            f"`ms_to_idx` of {path} must be integers [ms], but is {dataset.dtype} {list(dataset.shape)}."
        )
    return dataset


def _read(dataset: Any, name: str, start: int, stop: int, path: Path, chunks: ChunkCheck) -> np.ndarray:
    try:
        chunks.check(start, min(stop, len(dataset)))
        values: np.ndarray = dataset[start:stop]
    except Exception as error:  # HDF5 and its filters raise nearly anything when a file is damaged
        raise DataError(
            f"Cannot read entries {start} to {stop} of `{name}` of {path}: {error}. Copy it again."
        ) from error
    return values
