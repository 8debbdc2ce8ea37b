"""Random access to the frames and labels of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from easnn.data import RecordingDataset
from easnn.events import (
    Recording,
    downsample_boxes,
    downsample_recording,
    downsampled_hw,
    read_boxes,
)
from easnn.inference import Predictor, moments_us
from easnn.representations import FrameSpec, frame_bounds_us, make_frame
from easnn.utils.options import BOXES_SUFFIX, EVENTS_SUFFIX


@dataclass(frozen=True)
class Playback:
    """A recording with its labels, and the specification of its frames.

    Attributes:
        name: name in titles and files.
        recording: the events, at the resolution of the frames.
        sensor_hw: height and width of the frames.
        spec: how the events before a time become a frame.
        labels: boxes (BOX_DTYPE) sorted by time, or None if the recording is not labelled.
    """

    name: str
    recording: Recording
    sensor_hw: tuple[int, int]
    spec: FrameSpec
    labels: np.ndarray | None

    def moments(self, start_us: int, end_us: int, step_us: int) -> range:
        """Return the end times of sliding windows; see :func:`~easnn.inference.moments_us`."""
        return moments_us(self.spec, self.recording, start_us, end_us, step_us)

    def frame(self, time_us: int) -> Tensor:
        """Return the frame [Tl,Tm,C,H,W] of the events before ``time_us``.

        Raises:
            DataError: if the recording cannot be read.
        """
        return make_frame(self.spec, self.recording, time_us, self.sensor_hw)

    def slice_bounds_us(self, time_us: int) -> npt.NDArray[np.int64] | None:
        """Return the bounds of the slices; see :func:`~easnn.representations.frame_bounds_us`.

        Raises:
            DataError: if the recording cannot be read.
        """
        return frame_bounds_us(self.spec, self.recording, time_us)

    def label_times_us(self, after_us: int, until_us: int) -> list[int]:
        """Return the distinct times of labels in ``(after_us, until_us]``."""
        if self.labels is None:
            return []
        times = np.unique(self.labels["t_us"])
        return [int(t) for t in times[(times > after_us) & (times <= until_us)]]

    def ground_truth(self, time_us: int, since_us: int) -> npt.NDArray[np.float32] | None:
        """Return the last boxes [N,5] (class, x, y, w, h) in ``(since_us, time_us]``, or None."""
        times = self.label_times_us(since_us, time_us)
        if self.labels is None or not times:
            return None
        boxes = self.labels[self.labels["t_us"] == times[-1]]
        return np.stack([boxes[name] for name in ("class_id", "x", "y", "w", "h")], axis=1).astype(
            np.float32
        )


def open_playback(
    path: Path,
    sensor_hw: tuple[int, int] | None,
    predictor: Predictor,
    *,
    stream: int | None = None,
    drop_invalid: bool = False,
) -> Playback:
    """Open a recording and its labels, if any, at the resolution of the predictor's frames.

    Args:
        path: the file.
        sensor_hw: height and width of the sensor, or None to read them from the file.
        predictor: determines the resolution and the frames.
        stream: number of the stream of events to read from an AEDAT4 file; needed if it has
            several.
        drop_invalid: whether to drop single events outside of the sensor.

    Raises:
        ConfigError: if the model does not take windows of raw recordings.
        DataError: if a file cannot be read, or an event lies outside the sensor.
    """
    predictor.spec.check_from_events()
    recording = predictor.open(path, sensor_hw, stream=stream, drop_invalid=drop_invalid)
    factor = predictor.downsample
    hw = recording.sensor_hw
    assert hw is not None
    name = path.name.removesuffix(EVENTS_SUFFIX).removesuffix(path.suffix)
    boxes_path = path.with_name(name + BOXES_SUFFIX)
    labels = downsample_boxes(read_boxes(boxes_path), factor) if boxes_path.exists() else None
    return Playback(
        name,
        downsample_recording(recording, factor),
        downsampled_hw(hw, factor),
        predictor.spec,
        labels,
    )


def playback_of(dataset: RecordingDataset, sequence: str) -> Playback:
    """Return one recording of a dataset, with the frame specification of the dataset.

    Raises:
        DataError: if the recording or its boxes cannot be read.
    """
    files = next(r for r in dataset.recordings if r.name == sequence)
    recording = dataset.open(files.events_path)
    return Playback(
        sequence, recording, dataset.sensor_hw, dataset.frame_spec, dataset.boxes_of(files)
    )
