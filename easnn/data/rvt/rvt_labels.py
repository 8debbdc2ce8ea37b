"""Reading of the labels of a preprocessed sequence, and of the times of its histograms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from easnn.data.rvt.rvt_files import LABEL_KEYS, SequenceFiles
from easnn.events import parse_boxes
from easnn.events.numpy_files import load_array, load_members
from easnn.utils.errors import DataError

Integers = npt.NDArray[np.int64]


def read_sequence_boxes(files: SequenceFiles) -> np.ndarray:
    """Read the boxes [N] (BOX_DTYPE) of a sequence, sorted by time, in pixels of the sensor.

    Raises:
        DataError: if they cannot be read, or the label times and the boxes do not fit together.
    """
    path = files.boxes_path
    stored = load_members(path, LABEL_KEYS)
    boxes = parse_boxes(stored["labels"], path)
    starts = _integers(stored["objframe_idx_2_label_idx"], f"`objframe_idx_2_label_idx` of {path}")
    times_us = _increasing_times(files.label_times_path)
    edges = np.append(starts, len(boxes))
    if edges[0] != 0 or (edges[1:] <= edges[:-1]).any():
        raise DataError(
            f"`objframe_idx_2_label_idx` of {path} must rise from 0 to less than the {len(boxes)} "
            f"labels, but is {_first_few(starts)}. Preprocess the recording again."
        )
    if len(starts) != len(times_us) or (np.repeat(times_us, np.diff(edges)) != boxes["t_us"]).any():
        raise DataError(
            f"The labels of {path} must have the times of {files.label_times_path}, as many for "
            "each as "
            "`objframe_idx_2_label_idx` says, but have others. Preprocess the recording again."
        )
    return boxes


def read_histogram_numbers(files: SequenceFiles) -> Integers:
    """Read the number of the histogram that ends at each label time, [frames].

    Raises:
        DataError: if they cannot be read, or a histogram does not end at the time of its label.
    """
    path = files.histogram_numbers_path
    numbers = _integers(load_array(path), str(path))
    label_times_us = _increasing_times(files.label_times_path)
    end_times_us = read_end_times(files.end_times_path)
    if len(numbers) != len(label_times_us):
        raise DataError(
            f"{path} must have an entry for each of the {len(label_times_us)} labelled times of "
            f"{files.label_times_path}, but has {len(numbers)}. Preprocess the recording again."
        )
    outside = (numbers < 0) | (numbers >= len(end_times_us))
    if outside.any():
        raise DataError(
            f"{path} must hold numbers of the {len(end_times_us)} histograms, but holds "
            f"{numbers[outside][0]}. Preprocess the recording again."
        )
    wrong = end_times_us[numbers] != label_times_us
    if wrong.any():
        first = int(wrong.argmax())
        raise DataError(
            f"Histogram {numbers[first]} must end at the label that {path} gives it, "
            f"{label_times_us[first]} µs, but ends at {end_times_us[numbers[first]]} µs "
            f"({files.end_times_path}). Preprocess the recording again."
        )
    return numbers


def read_end_times(path: Path) -> Integers:
    """Read the time at which each histogram ends, in µs, increasing: [N].

    Raises:
        DataError: if they cannot be read.
    """
    return _increasing_times(path)


def _increasing_times(path: Path) -> Integers:
    times_us = _integers(load_array(path), str(path))
    falls = np.flatnonzero(times_us[1:] <= times_us[:-1])
    if len(falls):
        at = int(falls[0])
        raise DataError(
            f"The times in {path} must rise, but {times_us[at]} µs is followed by "
            f"{times_us[at + 1]} µs. Preprocess the recording again."
        )
    return times_us


def _integers(array: np.ndarray, what: str) -> Integers:
    if (
        array.ndim != 1
        or array.dtype.kind not in "iu"
        or array.max(initial=0) > np.iinfo(np.int64).max
    ):
        raise DataError(f"{what} must be integers [N], but is {array.dtype} {list(array.shape)}.")
    return array.astype(np.int64)


def _first_few(numbers: Integers) -> str:
    return ", ".join(map(str, numbers[:5].tolist())) + (", …" if len(numbers) > 5 else "")
