"""Writing of a preprocessed sequence, completely or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hdf5plugin
import numpy as np

from easnn.data.rvt.histogram_file import HDF5_DATASET, HistogramFile
from easnn.data.rvt.rvt_files import LABEL_KEYS, sequence_files
from easnn.data.rvt.rvt_labels import read_histogram_numbers, read_sequence_boxes
from easnn.events.hdf5_file import hdf5_output
from easnn.representations import HISTOGRAM_CHANNELS
from easnn.utils.errors import DataError, OutputError
from easnn.utils.files import flush

LABEL_DTYPE = np.dtype(
    [
        ("t", "<i8"),
        ("x", "<f4"),
        ("y", "<f4"),
        ("w", "<f4"),
        ("h", "<f4"),
        ("class_id", "<u4"),
        ("class_confidence", "<f4"),
        ("track_id", "<i8"),
    ]
)
COMPARED_FIELDS = ("t_us", "x", "y", "w", "h", "class_id", "track_id")
"""Fields of a box that must be the same in a sequence that exists already."""

STORED_NAMES = {"t": "t_us", "class_confidence": "confidence"}
"""Name of a field in the file → name in BOX_DTYPE, where they differ."""


@dataclass(frozen=True)
class SequencePlan:
    """Contents of a sequence, except for the histograms themselves.

    Attributes:
        boxes: the boxes of its frames [boxes] (BOX_DTYPE), sorted by time, in pixels of the sensor.
        frames_us: times of the frames [frames].
        ends_us: times at which histograms end [N].
        histogram_numbers: number of the histogram that ends at each frame [frames].
        frame_hw: height and width of the histograms.
        halved: whether these are half of the sensor's.
    """

    boxes: np.ndarray
    frames_us: np.ndarray
    ends_us: np.ndarray
    histogram_numbers: np.ndarray
    frame_hw: tuple[int, int]
    halved: bool


def partial_folder(folder: Path) -> Path:
    """Return the temporary folder in which the sequence ``folder`` is written."""
    return folder.with_name(f".{folder.name}.partial")


def write_sequence(folder: Path, plan: SequencePlan, histograms: Iterable[np.ndarray]) -> None:
    """Write a sequence to ``folder``, which appears when it is complete.

    Args:
        folder: a folder that does not exist yet.
        plan: contents of the sequence.
        histograms: its N histograms, uint8 [20, H, W].

    Raises:
        OutputError: if it cannot be written.
    """
    with _complete_folder(folder) as partial:
        files = sequence_files(partial, halved=plan.halved)
        for path in (files.events_path, files.boxes_path):
            path.parent.mkdir(parents=True)
        with (
            files.events_path.open("w+b") as file,
            hdf5_output(file) as (stored, check_disk),
        ):
            shape = (HISTOGRAM_CHANNELS, *plan.frame_hw)
            data = stored.create_dataset(
                HDF5_DATASET,
                shape=(len(plan.ends_us), *shape),
                maxshape=(None, *shape),
                chunks=(1, *shape),
                dtype=np.uint8,
                **hdf5plugin.Blosc(cname="zstd", clevel=1, shuffle=hdf5plugin.Blosc.SHUFFLE),
            )
            for number, histogram in enumerate(histograms):
                data[number] = histogram
                check_disk()
        starts = np.searchsorted(plan.boxes["t_us"], plan.frames_us)
        arrays: dict[str, Any] = dict(
            zip(LABEL_KEYS, (_stored_labels(plan.boxes), starts), strict=True)
        )
        np.savez(files.boxes_path, **arrays)
        np.save(files.label_times_path, plan.frames_us)
        np.save(files.end_times_path, plan.ends_us)
        np.save(files.histogram_numbers_path, plan.histogram_numbers)


def check_same(folder: Path, plan: SequencePlan) -> None:
    """Check that a sequence that exists already has the planned labels, times and size.

    Raises:
        DataError: if it has not, or cannot be read.
    """
    files = sequence_files(folder, halved=plan.halved)
    missing = files.missing()
    if missing:
        raise DataError(f"{folder} exists already, but without {missing[0]}. {_ADVICE}")
    stored, boxes = HistogramFile(files.events_path), read_sequence_boxes(files)
    if (
        any(not np.array_equal(boxes[name], plan.boxes[name]) for name in COMPARED_FIELDS)
        or not np.array_equal(read_histogram_numbers(files), plan.histogram_numbers)
        or not np.array_equal(stored.end_times_us, plan.ends_us)
        or stored.frame_hw != plan.frame_hw
    ):
        raise DataError(f"{folder} exists already, with other labels or histograms. {_ADVICE}")


_ADVICE = "Remove it, or write to another folder."


@contextmanager
def _complete_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder, which is renamed when the block ends without an error."""
    partial = partial_folder(folder)
    try:
        shutil.rmtree(partial, ignore_errors=True)  # left by a run that was killed
        partial.mkdir(parents=True)
        yield partial
        for path in sorted(partial.rglob("*")):
            flush(path)
        partial.rename(folder)
        flush(folder.parent)
    except OSError as error:
        raise OutputError(
            f"Cannot write {folder}: {error.strerror or error}. Free some space or choose another "
            "folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _stored_labels(boxes: np.ndarray) -> np.ndarray:
    labels = np.empty(len(boxes), LABEL_DTYPE)
    for name in LABEL_DTYPE.names or ():
        labels[name] = boxes[STORED_NAMES.get(name, name)]
    return labels
