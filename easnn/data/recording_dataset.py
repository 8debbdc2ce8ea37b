"""Labelled frames of recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np
import torch

from easnn.data.dataset import DetectionDataset, Frame
from easnn.data.frame import FrameSpec
from easnn.data.labels import index_labels
from easnn.data.layout import LabelledRecording
from easnn.data.options import DatasetOptions
from easnn.data.recordings import RecentRecordings
from easnn.data.source import LabelSource, RecordingSource
from easnn.events import Recording, downsample_boxes, downsample_recording, downsampled_hw
from easnn.representations import TAU_US
from easnn.utils.errors import ConfigError, DataError

OPEN_RECORDINGS = 64
"""Recordings that each process keeps open."""

MOST_NAMES = 7
"""Class names that a message lists before it only gives their number."""


class RecordingDataset(DetectionDataset):
    """One frame for each distinct time of a recording's labels, of the events in the window that ends there.

    Constructing reads all boxes; a recording is opened when one of its frames is loaded.

    Attributes:
        frame_spec: how frames are made; it serves for unlabelled moments, too.
        recordings: the recordings, in the order of their frames.

    Args:
        name: value of the key ``data_name``.
        source: the recordings of the splits.
        splits: names of the splits.
        **options: see :class:`DatasetOptions`.

    Raises:
        ConfigError: if ``num_classes`` is not the dataset's number of classes, or the options do not fit a
            dataset of this kind.
        DataError: if boxes cannot be read, or nothing is labelled.
    """

    def __init__(
        self,
        name: str,
        source: RecordingSource,
        splits: str | Sequence[str],
        **options: Unpack[DatasetOptions],
    ) -> None:
        self.name = name
        self.split = splits if isinstance(splits, str) else "+".join(splits)
        self.frame_spec = FrameSpec(
            options["window_ms"],
            options["Tl"],
            options["Tm"],
            options["aggregation"],
            options.get("slicing", "extent"),
            options.get("measure", "count"),
            options.get("tau_us", TAU_US),
        )
        if source.timeless and self.frame_spec.window_ms != 0:
            raise ConfigError(
                f"`window` must be 0 (the whole recording) for {name}, whose labels have no time, but is "
                f"{self.frame_spec.window_ms}."
            )
        self.class_names = source.class_names
        check_classes(source, options["num_classes"])
        self._source = source
        self._downsample = options.get("downsample", 1)
        self.sensor_hw = downsampled_hw(source.sensor_hw, self._downsample)
        self.recordings = source.recordings
        self._labels = index_labels(self.boxes_of(files) for files in self.recordings)
        if len(self._labels) == 0:
            raise DataError(f"{source.root} has no label in {self.split}: all its box files are empty.")
        self._recordings = RecentRecordings(self.open, OPEN_RECORDINGS)

    def __len__(self) -> int:
        return len(self._labels)

    def load(self, index: int) -> Frame:
        """Read frame ``index``; see :class:`DetectionDataset`."""
        return self.load_at_speed(index, 1.0)

    def load_at_speed(self, index: int, speed: float) -> Frame:
        """Read frame ``index`` with its recording played ``speed`` times as fast."""
        files = self.recordings[self._labels.recordings[index]]
        time_us = int(self._labels.times_us[index])
        recording = self._recordings[files.events_path]
        events = self.frame_spec.frame(recording, time_us, self.sensor_hw, speed)
        return Frame(events, torch.tensor(self._labels.boxes_of(index)), time_us, files.name)

    def open(self, path: Path) -> Recording:
        """Open the recording with the events of ``path``, at the resolution of the frames.

        Raises:
            DataError: if it cannot be opened.
        """
        return downsample_recording(self._source.open(path), self._downsample)

    def boxes_of(self, files: LabelledRecording) -> np.ndarray:
        """Read the boxes [N] (BOX_DTYPE) of a recording, sorted by time, in pixels of the frames.

        Raises:
            DataError: if they cannot be read.
        """
        boxes = self._source.boxes(files)
        if self._source.clip_boxes:
            boxes = clipped(boxes, self._source.sensor_hw)
        return downsample_boxes(boxes, self._downsample)


def check_classes(source: LabelSource, num_classes: int) -> None:
    """Raise :class:`ConfigError` if a detector of ``num_classes`` classes does not fit a dataset."""
    names = source.class_names
    if num_classes == len(names):
        return
    listed = f" ({', '.join(names)})" if len(names) <= MOST_NAMES else ""
    raise ConfigError(
        f"`num_classes` must be {len(names)}{listed} for {source.root}, but is {num_classes}."
        f"{source.class_advice}"
    )


def clipped(boxes: np.ndarray, sensor_hw: tuple[int, int]) -> np.ndarray:
    """Return boxes (BOX_DTYPE) that end at the border of the frame."""
    clipped = boxes.copy()
    for start, length, side in (("x", "w", sensor_hw[1]), ("y", "h", sensor_hw[0])):
        clipped[start] = boxes[start].clip(0, side)
        clipped[length] = (boxes[start] + boxes[length]).clip(0, side) - clipped[start]
    return clipped
