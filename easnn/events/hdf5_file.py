"""HDF5 files and their datasets, checked before large amounts of data are read.

HDF5 and Blosc trust the sizes that a file declares: a damaged file can make them allocate huge
arrays or crash the process.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import IO, Any

import h5py
import hdf5plugin  # noqa: F401  (registers the filters of the datasets)
import numpy as np

from easnn.utils.errors import DataError
from easnn.utils.files import map_file

ECF_FILTER = 0x8ECF
BLOSC_FILTER = 32_001
BLOSC_HEADER = np.dtype(
    [("_", "V4"), ("bytes", "<u4"), ("block_bytes", "<u4"), ("stored_bytes", "<u4")]
)
MAX_CHUNK_BYTES = 2**28


class _Output(io.RawIOBase):
    """A file to which HDF5 writes, and that never fails: it keeps the first error instead.

    The HDF5 library crashes the process if it cannot write what it holds back until it closes a
    file, as on a full disk.

    Args:
        descriptor: an open file for reading and writing.
    """

    def __init__(self, descriptor: int) -> None:
        self._file = io.FileIO(descriptor, "r+", closefd=False)
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first error of a write, if there was one."""
        if self._error is not None:
            raise self._error

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        found = self._file.readinto(view)
        view[found:] = bytes(len(view) - found)  # what could not be written
        return len(view)

    def write(self, content: Any) -> int:
        rest = memoryview(content).cast("B")
        size = len(rest)
        try:
            while len(rest) and self._error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._error = error
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return self._file.seek(0, os.SEEK_END)


@contextmanager
def hdf5_output(file: IO[bytes]) -> Iterator[tuple[Any, Callable[[], None]]]:
    """Write HDF5 to an open and empty file.

    Yields:
        The HDF5 file, and a function that raises the error of an earlier write, if there was one.

    Raises:
        OSError: at the end of the block, if something could not be written.
    """
    output = _Output(file.fileno())
    with h5py.File(output, "w") as stored:
        yield stored, output.check
    output.check()


def open_file(path: Path, *, cache_chunks: bool = True) -> Any:
    """Open an HDF5 file for reading.

    Args:
        path: the file.
        cache_chunks: whether HDF5 may cache chunks; of no use if each chunk is read only once.

    Raises:
        DataError: if the file is missing, empty or not a complete HDF5 file.
    """
    map_file(path).close()  # raises for a missing or empty file
    try:
        return h5py.File(path, "r", rdcc_nbytes=None if cache_chunks else 0)
    except Exception as error:  # damaged files make HDF5 raise almost any type
        raise DataError(f"{path} is not a whole HDF5 file: {error}. Copy it again.") from error


class StoredDataset:
    """A dataset [N, …] of an HDF5 file that is checked when it is opened and when it is read.

    Args:
        dataset: the dataset.
        name: its path in the file.
        path: the file.

    Raises:
        DataError: if a filter is not available, or if the file is too small for the shape.
    """

    def __init__(self, dataset: Any, name: str, path: Path) -> None:
        self._dataset = dataset
        self._name = name
        self._path = path
        stored = dataset.id.get_create_plist()
        self._filters = [stored.get_filter(number)[0] for number in range(stored.get_nfilters())]
        self._checked_chunks: set[tuple[int, ...]] = set()
        self._check_filters()
        self._check_size(is_external=stored.get_external_count() > 0)

    @property
    def dtype(self) -> np.dtype:
        """Type of the entries."""
        return self._dataset.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along each axis."""
        return self._dataset.shape

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the entries ``start`` to ``stop`` along the first axis.

        Raises:
            DataError: if the file is damaged there.
        """
        try:
            if BLOSC_FILTER in self._filters:
                self._check_blosc_chunks(start, min(stop, self.shape[0]))
            return self._dataset[start:stop]
        except Exception as error:  # damaged files make HDF5 and its filters raise almost any type
            raise DataError(
                f"Cannot read entries {start} to {stop} of `{self._name}` of {self._path}: "
                f"{error}. Copy it again."
            ) from error

    def _check_filters(self) -> None:
        for code in self._filters:
            if not h5py.h5z.filter_avail(code):
                what = "Prophesee's ECF" if code == ECF_FILTER else f"number {code}"
                raise DataError(
                    f"`{self._name}` of {self._path} is compressed by an HDF5 filter that neither "
                    f"h5py nor hdf5plugin has ({what}). Write it again with Blosc or gzip."
                )

    def _check_size(self, *, is_external: bool) -> None:
        dataset, file_bytes = self._dataset, self._path.stat().st_size
        declared = dataset.size * dataset.dtype.itemsize
        held = 0 if is_external else dataset.id.get_storage_size()
        if dataset.chunks is None:
            whole = declared <= held <= file_bytes
        else:
            chunk = int(np.prod(dataset.chunks, dtype=object))
            whole = (
                chunk * dataset.dtype.itemsize <= MAX_CHUNK_BYTES
                and dataset.size <= chunk * dataset.id.get_num_chunks()
                and held <= file_bytes
            )
        if not whole:
            raise DataError(
                f"`{self._name}` of {self._path} promises {declared} bytes, which the file does "
                "not hold. The file is damaged; copy it again."
            )

    def _check_blosc_chunks(self, start: int, stop: int) -> None:
        """Check the chunks of the entries ``start`` to ``stop``, each once.

        Raises:
            ValueError: if one is damaged.
        """
        *before, last = self._filters
        if last != BLOSC_FILTER or not {*before} <= {h5py.h5z.FILTER_SHUFFLE}:
            raise ValueError("Blosc must be the only filter, but for a shuffle before it")
        lengths = self._dataset.chunks
        first = range(start // lengths[0] * lengths[0], stop, lengths[0])
        others = (
            range(0, side, length) for side, length in zip(self.shape[1:], lengths[1:], strict=True)
        )
        for corner in product(first, *others):
            if corner not in self._checked_chunks:
                self._check_blosc_chunk(corner)
                self._checked_chunks.add(corner)

    def _check_blosc_chunk(self, corner: tuple[int, ...]) -> None:
        chunk_bytes = int(np.prod(self._dataset.chunks, dtype=object)) * self.dtype.itemsize
        info = self._dataset.id.get_chunk_info_by_coord(corner)
        if info.byte_offset is None:
            raise ValueError(f"the chunk of entry {corner[0]} is missing")
        if info.filter_mask >> len(self._filters) - 1 & 1:  # stored without Blosc
            whole = info.size == chunk_bytes
        else:
            _, stored = self._dataset.id.read_direct_chunk(corner)
            if len(stored) < BLOSC_HEADER.itemsize:
                raise ValueError(f"the chunk of entry {corner[0]} has no header")
            header = np.frombuffer(stored, BLOSC_HEADER, 1)[0]
            whole = header["bytes"] == chunk_bytes and header["stored_bytes"] == len(stored)
        if not whole:
            raise ValueError(f"the chunk of entry {corner[0]} has another size than it says")
