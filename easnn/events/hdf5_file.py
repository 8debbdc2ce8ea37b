"""HDF5 files and their datasets, checked before anything large is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers the filters of the datasets)
import numpy as np

from easnn.events.hdf5_chunks import ChunkCheck
from easnn.events.mapping import map_file
from easnn.utils.errors import DataError

ECF_FILTER = 0x8ECF
MAX_CHUNK_BYTES = 2**28


def open_file(path: Path, *, cache_chunks: bool = True) -> Any:
    """Open an HDF5 file for reading.

    Args:
        path: the file.
        cache_chunks: whether to keep some chunks in memory; useless where each is read as a whole.

    Raises:
        DataError: if it is missing, empty or no whole HDF5 file.
    """
    map_file(path).close()  # says what is wrong with a file that is missing or empty
    try:
        return h5py.File(path, "r", rdcc_nbytes=None if cache_chunks else 0)
    except Exception as error:  # HDF5 raises nearly anything when a file is damaged
        raise DataError(f"{path} is not a whole HDF5 file: {error}. Copy it again.") from error


class StoredDataset:
    """A dataset of an HDF5 file whose filters can be undone and whose shape the file can hold.

    Args:
        dataset: the dataset.
        name: its path in the file.
        path: the file.

    Raises:
        DataError: if a filter is missing, or the file does not hold what the dataset's shape promises.
    """

    def __init__(self, dataset: Any, name: str, path: Path) -> None:
        self._dataset = dataset
        self._name = name
        self._path = path
        _check_storage(dataset, name, path)
        self._chunks = ChunkCheck(dataset)

    @property
    def dtype(self) -> np.dtype:
        """Type of the entries."""
        dtype: np.dtype = self._dataset.dtype
        return dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along each axis."""
        shape: tuple[int, ...] = self._dataset.shape
        return shape

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the entries ``start`` to ``stop`` along the first axis.

        Raises:
            DataError: if the file is damaged there.
        """
        try:
            self._chunks.check(start, min(stop, self.shape[0]))
            values: np.ndarray = self._dataset[start:stop]
        except Exception as error:  # HDF5 and its filters raise nearly anything when a file is damaged
            raise DataError(
                f"Cannot read entries {start} to {stop} of `{self._name}` of {self._path}: {error}. Copy it "
                "again."
            ) from error
        return values


def _check_storage(dataset: Any, name: str, path: Path) -> None:
    stored = dataset.id.get_create_plist()
    for number in range(stored.get_nfilters()):
        code = stored.get_filter(number)[0]
        if not h5py.h5z.filter_avail(code):
            what = "Prophesee's ECF" if code == ECF_FILTER else f"number {code}"
            raise DataError(
                f"`{name}` of {path} is compressed by an HDF5 filter that neither h5py nor hdf5plugin has "
                f"({what}). Write it again with Blosc or gzip."
            )
    file_bytes = path.stat().st_size
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
