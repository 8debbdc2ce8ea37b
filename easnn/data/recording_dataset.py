"""Labelled frames of recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np
import torch

from easnn.data.cache.code import code_digest
from easnn.data.cache.labels import LabelFile, index_labels_of
from easnn.data.dataset import CacheableDataset, Frame, Label
from easnn.data.frame import FrameSpec
from easnn.data.layout import LabelledRecording
from easnn.data.options import DatasetOptions
from easnn.data.recordings import RecentRecordings
from easnn.data.source import LabelSource, RecordingSource
from easnn.events import Recording, downsample_boxes, downsample_recording, downsampled_hw
from easnn.representations import TAU_US
from easnn.utils.errors import ConfigError, DataError
from easnn.utils.files import file_stamp

OPEN_RECORDINGS = 64
"""Recordings that each process keeps open."""

MOST_NAMES = 7
"""Class names that a message lists before it only gives their number."""


class RecordingDataset(CacheableDataset):
    """One frame for each distinct time of a recording's labels, of the events in the window that ends there.

    Constructing reads all boxes, or finds them in the folder of caches where their files have not changed; a
    recording is opened when one of its frames is loaded.

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
        self._labels = index_labels_of(
            self.recordings, self.boxes_of, self._label_file(options.get("cache_dir"))
        )
        if len(self._labels) == 0:
            raise DataError(f"{source.root} has no label in {self.split}: all its box files are empty.")
        self._recordings = RecentRecordings(self.open, OPEN_RECORDINGS)
        self._stamps = np.zeros((len(self.recordings), 2), np.int64)  # zero: not looked at yet

    def __len__(self) -> int:
        return len(self._labels)

    def load(self, index: int) -> Frame:
        """Read frame ``index``; see :class:`DetectionDataset`."""
        return self.load_at_speed(index, 1.0)

    def load_at_speed(self, index: int, speed: float) -> Frame:
        """Read frame ``index`` with its recording played ``speed`` times as fast."""
        label = self.label(index)
        recording = self._recordings[self._files(index).events_path]
        return Frame(self.frame_spec.frame(recording, label.time_us, self.sensor_hw, speed), *label)

    def label(self, index: int) -> Label:
        """Return frame ``index`` without its events; see :class:`CacheableDataset`."""
        boxes = torch.tensor(self._labels.boxes_of(index))
        return Label(boxes, int(self._labels.times_us[index]), self._files(index).name)

    def settings(self) -> str | None:
        """Return what all frames follow from; see :class:`CacheableDataset`."""
        label_settings = self._label_settings()
        return None if label_settings is None else f"{label_settings} {self.frame_spec}"

    def moment(self, index: int) -> str | None:
        """Return which recording, and which time in it, frame ``index`` shows; see :class:`CacheableDataset`."""
        path = self._files(index).events_path
        first_stamp = self._stamps[self._labels.recordings[index]]
        stamp = file_stamp(path)
        if not first_stamp.any():
            first_stamp[:] = stamp
        if stamp != tuple(first_stamp):
            return None
        return f"{path.absolute()} {stamp} {self._labels.times_us[index]}"

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
        boxes = self._source.checked_boxes(files)
        if self._source.clip_boxes:
            boxes = clipped(boxes, self._source.sensor_hw)
        return downsample_boxes(boxes, self._downsample)

    def _files(self, index: int) -> LabelledRecording:
        return self.recordings[int(self._labels.recordings[index])]

    def _label_settings(self) -> str | None:
        """Return what all labels follow from beside their files, None if that cannot be told."""
        source = self._source
        code = code_digest(self, source)
        kind = type(source).__qualname__
        return (
            None
            if code is None
            else repr((code, kind, source.settings(), source.root.resolve(), self._downsample))
        )

    def _label_file(self, cache_dir: Path | None) -> LabelFile | None:
        settings = self._label_settings()
        return (
            None
            if cache_dir is None or settings is None
            else LabelFile(cache_dir, f"{self.split} {settings}")
        )


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
