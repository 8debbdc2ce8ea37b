"""Recordings of events, and their labelled frames."""

from __future__ import annotations

import copy
import sys
from abc import abstractmethod
from functools import cached_property, partial
from pathlib import Path
from typing import Self

import numpy as np
import torch

from easnn.data.box_checks import check_num_classes
from easnn.data.cache.code_fingerprint import code_fingerprint
from easnn.data.cache.label_cache import LabelFile, read_labels
from easnn.data.detection_dataset import DetectionDataset, Frame, Label
from easnn.data.label_index import has_area
from easnn.data.label_source import LabelSource, RecordingFiles
from easnn.data.recording_pool import RecordingPool
from easnn.data.silence import SLICE_US, SilenceMeter
from easnn.data.timeline import Timeline, join_recordings, single_windows
from easnn.events import (
    MOTION_DTYPE,
    Recording,
    StoredRecording,
    downsample_boxes,
    downsample_recording,
    downsampled_hw,
)
from easnn.representations import FrameSpec, make_frame
from easnn.utils.errors import ConfigError, DataError
from easnn.utils.files import file_stamp

SLACK = 0.1
"""Share of a window that may be left out before one that ends at a label."""

NO_BOXES = torch.zeros(0, 5)

NOT_IN_FINGERPRINT = ("name", "root", "splits", "split", "recordings", "class_file")
"""Attributes of a source that do not change the events and boxes of a given recording."""


class RecordingSource(LabelSource):
    """Recordings of events and their boxes.

    Attributes:
        timeless: whether a label belongs to its recording as a whole, rather than to a time.
        drop_invalid: whether :meth:`open` is to drop single events outside of the sensor, as
            :func:`easnn.events.open_recording` does; otherwise they are an error.
    """

    timeless = False
    drop_invalid = False

    @abstractmethod
    def open(self, path: Path) -> StoredRecording:
        """Open the recording whose events are in ``path``; its sensor is that of the dataset.

        Raises:
            DataError: if it cannot be opened or has another sensor.
        """

    def dropping_invalid(self) -> Self:
        """Return a source whose :attr:`drop_invalid` is True; see :class:`LabelSource`."""
        source = copy.copy(self)
        source.drop_invalid = True
        return source

    def dataset(
        self,
        spec: FrameSpec,
        *,
        num_classes: int,
        downsample: int = 1,
        cache_dir: Path | None = None,
    ) -> RecordingDataset:
        """Return the labelled frames of the recordings; see :class:`LabelSource`."""
        return RecordingDataset(
            self, spec, num_classes=num_classes, downsample=downsample, cache_dir=cache_dir
        )

    def fingerprint(self) -> str:
        """Return what events and boxes depend on besides files and code: the other attributes."""
        attributes = {
            name: value
            for name, value in sorted(vars(self).items())
            if name not in NOT_IN_FINGERPRINT
        }
        # By default, numpy abbreviates long arrays and rounds their values.
        with np.printoptions(threshold=sys.maxsize, floatmode="unique"):
            return repr(attributes)


class RecordingDataset(DetectionDataset):
    """One frame for each distinct label time of a recording: the events of the window before it.

    The constructor reads all boxes, or takes them from the label cache if their files have not
    changed. A recording is opened when one of its frames is loaded.

    Attributes:
        frame_spec: how frames are computed, also at moments without a label.
        recordings: the recordings, in the order of their frames.

    Args:
        source: the recordings of the splits.
        spec: which events before a label form its frame, and how they are represented.
        num_classes: number of classes of the detector.
        downsample: factor by which the resolution of events and boxes is reduced.
        cache_dir: folder of caches, where labels are kept for the next start; None for nowhere.

    Raises:
        ConfigError: if ``num_classes`` is not the number of classes of the dataset, or its frames
            cannot be computed as ``spec`` says.
        DataError: if boxes cannot be read, or nothing is labelled.
    """

    def __init__(
        self,
        source: RecordingSource,
        spec: FrameSpec,
        *,
        num_classes: int,
        downsample: int = 1,
        cache_dir: Path | None = None,
    ) -> None:
        spec.check_from_events()
        if source.timeless and spec.window != 0:
            raise ConfigError(
                f"`window` must be 0 (the whole recording) for {source.name}, whose labels have no "
                f"time, but is {spec.window}."
            )
        check_num_classes(num_classes, source.class_names, source.root, source.class_file)
        self.name = source.name
        self.split = source.split
        self.class_names = source.class_names
        self.sensor_hw = downsampled_hw(source.sensor_hw, downsample)
        self.frame_spec = spec
        self.recordings = source.recordings
        self._source = source
        self._downsample = downsample
        self._labels = read_labels(self.recordings, self.boxes_of, self._label_file(cache_dir))
        if len(self._labels) == 0:
            reason = (
                "all its box files are empty"
                if source.label_filter is None
                else "its box files are empty, or `label_filter` drops all boxes"
            )
            raise DataError(f"{source.root} has no label in {self.split}: {reason}.")
        self._boxes_read: tuple[RecordingFiles, np.ndarray] | None = None
        self._silence: SilenceMeter
        self._pool = RecordingPool(self.open)
        self._stamps: dict[Path, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._labels)

    def load(self, index: int) -> Frame:
        """Read frame ``index``; see :class:`DetectionDataset`."""
        return self.load_at_speed(index, 1.0)

    def load_at_speed(self, index: int, speed: float) -> Frame:
        """Read frame ``index`` at another speed; see :class:`DetectionDataset`."""
        label = self.label(index)
        recording = self._pool[self._files(index).events_path]
        events = make_frame(self.frame_spec, recording, label.time_us, self.sensor_hw, speed)
        return Frame(events, label.boxes, label.time_us, label.sequence)

    def label(self, index: int) -> Label:
        """Return frame ``index`` without its events; see :class:`DetectionDataset`."""
        boxes = torch.tensor(self._labels.boxes_of(index))
        return Label(boxes, int(self._labels.times_us[index]), self._files(index).name)

    def timeline(self) -> Timeline:
        """Return windows in steps of ``window``, back from each label; see :class:`Timeline`.

        Events of less than a tenth of a window before the first of these are left out, as label
        times may be a little irregular.
        """
        if self.frame_spec.window == 0:
            return single_windows(len(self))
        times_us = [
            self._labels.of_recording(number).times_us for number in range(len(self.recordings))
        ]
        starts_us = [
            self._pool[files.events_path].first_us if len(of_recording) else 0
            for files, of_recording in zip(self.recordings, times_us, strict=True)
        ]
        step_us = self.frame_spec.duration_us
        return join_recordings(times_us, starts_us, step_us, slack=int(SLACK * step_us))

    def load_between(self, recording: int, end: int) -> Frame:
        """Read a window without a label; see :class:`DetectionDataset`."""
        files = self.recordings[recording]
        events = make_frame(self.frame_spec, self._pool[files.events_path], end, self.sensor_hw)
        return Frame(events, NO_BOXES, end, files.name)

    def motion(self, index: int) -> np.ndarray | None:
        """Return how the objects of frame ``index`` move; see :class:`DetectionDataset`.

        It is not part of the labels that are kept in memory. The boxes of a recording are read
        again, once if its frames are asked for one after another. If they do not say it, silence is
        measured from events (see :mod:`easnn.data.silence`).
        """
        files = self._files(index)
        if self._boxes_read is None or self._boxes_read[0] != files:
            self._boxes_read = files, self.boxes_of(files)
            self._silence = SilenceMeter(partial(self._active_pixels, files.events_path))
        boxes = self._boxes_read[1]
        time_us = int(self._labels.times_us[index])
        of_frame = boxes[(boxes["t_us"] == time_us) & has_area(boxes)]
        if _say_motion(boxes):
            return np.stack([of_frame[name] for name in MOTION_DTYPE.names or ()], axis=1)
        if not self.measures_silence:
            return None
        places = np.stack([of_frame[name] for name in ("x", "y", "w", "h")], axis=1)
        motion = np.full((len(of_frame), len(MOTION_DTYPE.names or ())), np.nan, np.float32)
        motion[:, 0] = self._silence.silence_s(places, time_us, time_us // SLICE_US - 1)
        return motion

    @cached_property
    def measures_silence(self) -> bool:
        """Whether silence is measured: labels have a time, but those of the first file no motion.

        Raises:
            DataError: if the boxes of the first recording cannot be read.
        """
        return not self._source.timeless and not _say_motion(self.boxes_of(self.recordings[0]))

    def _active_pixels(self, path: Path, number: int) -> np.ndarray | None:
        recording = self._pool[path]
        start_us = number * SLICE_US
        if start_us + SLICE_US <= max(recording.first_us, 0):
            return None
        events = recording.window(start_us, start_us + SLICE_US)
        active = np.zeros(self.sensor_hw, bool)
        active[events["y"], events["x"]] = True
        return active

    def fingerprint(self) -> str | None:
        """Return what all frames depend on; see :class:`DetectionDataset`."""
        label_fingerprint = self._label_fingerprint()
        return None if label_fingerprint is None else f"{label_fingerprint} {self.frame_spec}"

    def frame_fingerprint(self, index: int) -> str | None:
        """Return which recording frame ``index`` shows, and when; see :class:`DetectionDataset`."""
        path = self._files(index).events_path
        stamp = file_stamp(path)
        if stamp != self._stamps.setdefault(path, stamp):
            return None
        return f"{path.absolute()} {stamp} {self._labels.times_us[index]}"

    def open(self, path: Path) -> Recording:
        """Open the recording whose events are in ``path``, at the resolution of the frames.

        Raises:
            DataError: if it cannot be opened.
        """
        return downsample_recording(self._source.open(path), self._downsample)

    def boxes_of(self, files: RecordingFiles) -> np.ndarray:
        """Read the boxes [N] (BOX_DTYPE) of a recording, sorted by time, in pixels of the frames.

        Raises:
            DataError: if they cannot be read.
        """
        return downsample_boxes(self._source.frame_boxes(files), self._downsample)

    def _files(self, index: int) -> RecordingFiles:
        return self.recordings[int(self._labels.recordings[index])]

    def _label_fingerprint(self) -> str | None:
        """Return what all labels depend on besides their files, None if that is not known."""
        source = self._source
        code = code_fingerprint(self, source)
        if code is None:
            return None
        kind = type(source).__qualname__
        return repr((code, kind, source.fingerprint(), source.root.resolve(), self._downsample))

    def _label_file(self, cache_dir: Path | None) -> LabelFile | None:
        fingerprint = self._label_fingerprint()
        if cache_dir is None or fingerprint is None:
            return None
        return LabelFile(cache_dir, f"{self.split} {fingerprint}")


def _say_motion(boxes: np.ndarray) -> bool:
    """Return whether labels have the fields of ``MOTION_DTYPE``."""
    return "still_s" in (boxes.dtype.names or ())
