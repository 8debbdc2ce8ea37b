"""Datasets that were preprocessed for RVT: their sequences, and their labelled frames."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from easnn.data.automotive import AutomotiveKind
from easnn.data.box_checks import check_num_classes
from easnn.data.dataset_json import FILE_NAME, read_dataset_info
from easnn.data.detection_dataset import DetectionDataset, Frame, Label
from easnn.data.label_filter import LabelFilter
from easnn.data.label_index import index_labels
from easnn.data.label_source import LabelSource, RecordingFiles
from easnn.data.recording_pool import RecordingPool, open_first
from easnn.data.rvt.histogram_file import HistogramFile
from easnn.data.rvt.rvt_files import SequenceFiles, find_sequences
from easnn.data.rvt.rvt_labels import read_histogram_numbers, read_sequence_boxes
from easnn.data.silence import SilenceMeter
from easnn.data.timeline import Timeline, join_recordings
from easnn.events import MOTION_DTYPE, downsample_boxes
from easnn.representations import FrameSpec, event_sum
from easnn.utils.errors import ConfigError, DataError


class RvtSource(LabelSource):
    """Sequences of histograms, and boxes in the pixels of the histograms.

    Args:
        root: folder of the dataset.
        splits: name of a folder in it, or several.
        kind: which dataset it is; ``<root>/dataset.json`` may declare other classes.

    Raises:
        DataError: if files are missing, or ``dataset.json`` or every sequence cannot be read.
    """

    clip_boxes = True
    recordings: list[SequenceFiles]

    def __init__(self, root: Path | str, splits: str | Sequence[str], kind: AutomotiveKind) -> None:
        super().__init__(root, splits)
        self.name = kind.name
        self.class_names = read_dataset_info(self.root).class_names or kind.classes_of_histograms
        self.class_file = self.root / FILE_NAME
        self.recordings = find_sequences(self.root, self.splits, ignored=kind.ignored)
        first = open_first(HistogramFile, (files.events_path for files in self.recordings))
        self.sensor_hw = first.frame_hw

    def open(self, path: Path) -> HistogramFile:
        """Open the histograms of a sequence.

        Raises:
            DataError: if they cannot be opened, or have another size than those of the dataset.
        """
        histograms = HistogramFile(path)
        if histograms.frame_hw != self.sensor_hw:
            (height, width), (rows, columns) = self.sensor_hw, histograms.frame_hw
            raise DataError(
                f"{path} must have the size of its dataset, {height}x{width} (height x width), but "
                f"has {rows}x{columns}. Put other sensors in another folder."
            )
        return histograms

    def filtering_labels(self, label_filter: LabelFilter) -> Self:
        """Refuse it: preprocessing has filtered the labels; see :class:`LabelSource`."""
        raise ConfigError(
            f"`label_filter` must be False for {self.root}, whose labels were filtered when it was "
            "preprocessed, but is True."
        )

    def boxes(self, files: RecordingFiles) -> np.ndarray:
        """Read the boxes of a sequence, in pixels of its histograms."""
        assert isinstance(files, SequenceFiles)
        return downsample_boxes(read_sequence_boxes(files), 2 if files.halved else 1)

    def dataset(
        self,
        spec: FrameSpec,
        *,
        num_classes: int,
        downsample: int = 1,
        cache_dir: Path | None = None,
    ) -> RvtDataset:
        """Return the labelled frames; see :class:`LabelSource`. Labels are not cached."""
        if spec.aggregation != "event_sum":
            raise ConfigError(
                f"`aggregation` must be event_sum for {self.root}, which was preprocessed for RVT, "
                f"but is {spec.aggregation}, which is made from events. Set `aggregation` "
                "event_sum, or give the raw recordings."
            )
        if downsample != 1:
            raise ConfigError(
                f"`downsample` must be 1 for {self.root}, whose histograms have the resolution "
                f"that they were made with, but is {downsample}."
            )
        return RvtDataset(self, spec.Tl, num_classes=num_classes)


class RvtDataset(DetectionDataset):
    """One frame for each labelled time of a sequence: the last histograms, summed over their bins.

    Frames are ``[Tl,1,2,H,W]`` with the height and width of the histograms; histograms before the
    start of the sequence are zero. The constructor reads all boxes; histograms are read when one of
    their frames is loaded.

    Attributes:
        recordings: the sequences, in the order of their frames.

    Args:
        source: the sequences of the splits.
        Tl: histograms of a frame.
        num_classes: number of classes of the detector.

    Raises:
        ConfigError: if ``num_classes`` is not the number of classes of the dataset.
        DataError: if labels cannot be read, or nothing is labelled.
    """

    def __init__(self, source: RvtSource, Tl: int, *, num_classes: int) -> None:
        check_num_classes(num_classes, source.class_names, source.root, source.class_file)
        self.name = source.name
        self.split = source.split
        self.class_names = source.class_names
        self.sensor_hw = source.sensor_hw
        self.recordings = source.recordings
        self._Tl = Tl
        self._labels = index_labels(source.frame_boxes(files) for files in self.recordings)
        if len(self._labels) == 0:
            raise DataError(
                f"{source.root} has no label in {self.split}: all its label files are empty."
            )
        self._histogram_numbers = np.concatenate(
            [read_histogram_numbers(f) for f in self.recordings]
        )
        self._pool = RecordingPool(source.open)
        self._silence: tuple[SequenceFiles, SilenceMeter] | None = None

    def __len__(self) -> int:
        return len(self._labels)

    def load(self, index: int) -> Frame:
        """Read frame ``index``; see :class:`DetectionDataset`."""
        files = self.recordings[self._labels.recordings[index]]
        return Frame(self._events(files, int(self._histogram_numbers[index])), *self.label(index))

    def label(self, index: int) -> Label:
        """Return frame ``index`` without its events; see :class:`DetectionDataset`."""
        boxes = torch.tensor(self._labels.boxes_of(index))
        files = self.recordings[self._labels.recordings[index]]
        return Label(boxes, int(self._labels.times_us[index]), files.name)

    @property
    def measures_silence(self) -> bool:
        """Whether silence is measured: always, since preprocessed labels have no motion."""
        return True

    def motion(self, index: int) -> np.ndarray:
        """Return how long the objects of frame ``index`` have stood, measured from histograms.

        A slice of :mod:`easnn.data.silence` is a histogram.
        """
        files = self.recordings[self._labels.recordings[index]]
        if self._silence is None or self._silence[0] != files:
            self._silence = files, SilenceMeter(partial(self._active_pixels, files))
        boxes = self._labels.boxes_of(index)
        motion = np.full((len(boxes), len(MOTION_DTYPE.names or ())), np.nan, np.float32)
        motion[:, 0] = self._silence[1].silence_s(
            boxes[:, 1:],
            int(self._labels.times_us[index]),
            int(self._histogram_numbers[index]),
        )
        return motion

    def _active_pixels(self, files: SequenceFiles, number: int) -> np.ndarray | None:
        if number < 0:
            return None
        active: np.ndarray = self._pool[files.events_path].last(number, 1)[0].any(axis=0)
        return active

    def timeline(self) -> Timeline:
        """Return windows in steps of ``Tl`` histograms, back from each label.

        See :class:`DetectionDataset`.
        """
        frames = np.searchsorted(self._labels.recordings, np.arange(len(self.recordings) + 1))
        numbers = [self._histogram_numbers[a:b] for a, b in pairwise(frames)]
        before_first = [-1] * len(numbers)
        return join_recordings(numbers, before_first, self._Tl)

    def load_between(self, recording: int, end: int) -> Frame:
        """Read a window without a label; see :class:`DetectionDataset`."""
        files = self.recordings[recording]
        time_us = int(self._pool[files.events_path].end_times_us[end])
        return Frame(self._events(files, end), torch.zeros(0, 5), time_us, files.name)

    def _events(self, files: SequenceFiles, number: int) -> Tensor:
        """Return the ``Tl`` histograms up to one, summed over their bins: [Tl,1,2,H,W]."""
        histograms = self._pool[files.events_path].last(number, self._Tl)
        return torch.from_numpy(event_sum(histograms))[:, None]
