"""The sequences of some splits of a preprocessed dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from easnn.data.automotive import AutomotiveKind
from easnn.data.class_ids import check_class_ids
from easnn.data.contents import LONG_AGO_US, Contents
from easnn.data.info import FILE_NAME, read_dataset_info
from easnn.data.layout import LabelledRecording
from easnn.data.recordings import open_first
from easnn.data.rvt.grid import HISTOGRAM_US
from easnn.data.rvt.histograms import HistogramRecording
from easnn.data.rvt.labels import read_histogram_numbers, read_labels
from easnn.data.rvt.tree import SequenceFiles, find_sequences
from easnn.data.source import LabelSource
from easnn.events import downsample_boxes
from easnn.representations import event_sum
from easnn.utils.errors import DataError


class RvtSource(LabelSource):
    """Histograms and boxes in the pixels of the histograms.

    Args:
        root: folder of the dataset.
        splits: name of a folder in it, or several.
        kind: which dataset it is; ``<root>/dataset.json`` may give other classes.

    Raises:
        DataError: if the layout is incomplete, or ``dataset.json`` or every sequence cannot be read.
    """

    clip_boxes = True
    recordings: list[SequenceFiles]

    def __init__(self, root: Path | str, splits: str | Sequence[str], kind: AutomotiveKind) -> None:
        self.root = Path(root)
        self.class_names = read_dataset_info(self.root).class_names or kind.class_names
        splits = (splits,) if isinstance(splits, str) else splits
        self.recordings = find_sequences(self.root, splits, ignored=kind.ignored)
        self.class_advice = f' Other classes are declared as "class_names" in {self.root / FILE_NAME}.'
        self.sensor_hw = open_first(HistogramRecording, (f.events_path for f in self.recordings)).frame_hw

    def open(self, path: Path) -> HistogramRecording:
        """Open the histograms of a sequence.

        Raises:
            DataError: if they cannot be opened, or have another size than those of the dataset.
        """
        recording = HistogramRecording(path)
        if recording.frame_hw != self.sensor_hw:
            (height, width), (rows, columns) = self.sensor_hw, recording.frame_hw
            raise DataError(
                f"{path} must have the size of its dataset, {height}x{width} (height x width), but has "
                f"{rows}x{columns}. Put other sensors in another folder."
            )
        return recording

    def boxes(self, files: LabelledRecording) -> np.ndarray:
        """Read the boxes of a sequence, in pixels of its histograms."""
        assert isinstance(files, SequenceFiles)
        boxes = read_labels(files)
        check_class_ids(boxes, self.class_names, files.boxes_path, self.root)
        return downsample_boxes(boxes, 2 if files.halved else 1)

    def histogram_numbers(self, files: SequenceFiles) -> np.ndarray:
        """Read which histogram ends at each labelled time of a sequence, [frames].

        Raises:
            DataError: if that cannot be read, or a histogram does not end at its label.
        """
        return read_histogram_numbers(files)

    def contents(self, files: LabelledRecording, label_times_us: np.ndarray) -> Contents:
        """Read all histograms; see :class:`LabelSource`. Events are those that they count."""
        assert isinstance(files, SequenceFiles)
        self.histogram_numbers(files)
        recording = self.open(files.events_path)
        ends_us = recording.end_times_us
        digest, events = hashlib.sha256(), 0
        filled = np.zeros(len(recording), bool)
        for number in range(len(recording)):
            counts = event_sum(recording.last(number, 1))
            digest.update(counts.tobytes())
            filled[number] = counts.any()
            events += int(counts.sum(dtype=np.int64))
        last_filled_us = np.maximum.accumulate(np.where(filled, ends_us, LONG_AGO_US))
        before = np.searchsorted(ends_us, label_times_us, side="right") - 1
        return Contents(
            events=events,
            duration_us=int(ends_us[-1] - ends_us[0]) + HISTOGRAM_US,
            digest=digest.hexdigest(),
            silence_us=label_times_us - np.where(before < 0, LONG_AGO_US, last_filled_us[before]),
            histograms=len(recording),
        )

    def reach_us(self, window_ms: int, Tl: int) -> int | None:
        """Return the length of ``Tl`` histograms; see :class:`LabelSource`."""
        return Tl * HISTOGRAM_US
