"""The HDF5 file with the histograms of a preprocessed sequence."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from easnn.data.rvt.rvt_files import END_TIMES_NAME
from easnn.data.rvt.rvt_labels import read_end_times
from easnn.events.hdf5_file import MAX_CHUNK_BYTES, StoredDataset, open_file
from easnn.representations import HISTOGRAM_CHANNELS
from easnn.utils.errors import DataError

HDF5_DATASET = "data"


class HistogramFile:
    """An open file with the histograms [N, 20, H, W] of a sequence.

    It is pickled as its path: a worker process opens the file again.

    Attributes:
        path: the file.
        end_times_us: when each histogram ends, [N].
        frame_hw: height and width of the histograms in pixels.

    Args:
        path: the file; the file with the end times is in the same folder.

    Raises:
        DataError: if the file cannot be opened, does not hold histograms, or does not fit the end
            times.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.end_times_us = read_end_times(path.parent / END_TIMES_NAME)
        self._data = _open(path)
        _, _, height, width = self._data.shape
        self.frame_hw = (height, width)
        if len(self) != len(self.end_times_us):
            raise DataError(
                f"{path} must have a histogram for each of the {len(self.end_times_us)} times in "
                f"{path.parent / END_TIMES_NAME}, but has {len(self)}. Preprocess the recording "
                "again."
            )

    def __reduce__(self) -> tuple[type[HistogramFile], tuple[Path]]:
        return HistogramFile, (self.path,)

    def __len__(self) -> int:
        return self._data.shape[0]

    def last(self, number: int, count: int) -> np.ndarray:
        """Return the ``count`` histograms up to ``number``, oldest first: [count, 20, H, W] uint8.

        Those before the start of the sequence are zero.

        Raises:
            DataError: if the file is damaged there.
        """
        read = self._data.read(max(0, number + 1 - count), number + 1)
        if len(read) == count:
            return read
        return np.concatenate([np.zeros((count - len(read), *read.shape[1:]), np.uint8), read])


def _open(path: Path) -> StoredDataset:
    file = open_file(path, cache_chunks=False)
    try:
        return _find_dataset(file, path)
    except DataError:
        file.close()
        raise
    except Exception as error:  # HDF5 raises many types of errors for damaged files
        file.close()
        raise DataError(f"{path} is damaged: {error}. Copy it again.") from error


def _find_dataset(file: h5py.File, path: Path) -> StoredDataset:
    """Return the HDF5 dataset of the histograms, after checking its type and shape."""
    dataset = file.get(HDF5_DATASET)
    if not isinstance(dataset, h5py.Dataset):
        raise DataError(f"{path} must have the dataset `{HDF5_DATASET}`, but it is missing.")
    shape = dataset.shape
    if dataset.dtype != np.uint8 or len(shape) != 4 or shape[1] != HISTOGRAM_CHANNELS or 0 in shape:
        raise DataError(
            f"`{HDF5_DATASET}` of {path} must be histograms uint8 [N, {HISTOGRAM_CHANNELS}, H, W], "
            f"but is {dataset.dtype} {list(shape)}."
        )
    if HISTOGRAM_CHANNELS * shape[2] * shape[3] > MAX_CHUNK_BYTES:
        raise DataError(
            f"The histograms of {path} must have at most {MAX_CHUNK_BYTES} bytes, but have "
            f"{shape[3]}×{shape[2]} pixels."
        )
    return StoredDataset(dataset, HDF5_DATASET, path)
