"""A recording at any of its moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from easnn.data import RecordingDataset
from easnn.events import Recording
from easnn.inference import moments_us
from easnn.representations import FrameSpec, frame_bounds_us, make_frame


@dataclass(frozen=True)
class Playback:
    """A recording, its labels, and how a moment of it becomes a frame.

    Attributes:
        name: name in titles and files.
        recording: the events, at the resolution of the frames.
        sensor_hw: height and width of the frames.
        spec: how the events before a moment become its frame.
        labels: boxes (BOX_DTYPE) sorted by time, or None if the recording is not labelled.
    """

    name: str
    recording: Recording
    sensor_hw: tuple[int, int]
    spec: FrameSpec
    labels: np.ndarray | None

    def moments(self, start_us: int, end_us: int, step_us: int) -> range:
        """Return the times at which sliding windows end; see :func:`~easnn.inference.moments_us`."""
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
        """Return the last boxes [N,5] (class, x, y, w, h) labelled in ``(since_us, time_us]``, or None."""
        times = self.label_times_us(since_us, time_us)
        if self.labels is None or not times:
            return None
        boxes = self.labels[self.labels["t_us"] == times[-1]]
        return np.stack([boxes[name] for name in ("class_id", "x", "y", "w", "h")], axis=1).astype(
            np.float32
        )


def playback_of(dataset: RecordingDataset, sequence: str) -> Playback:
    """Return one recording of a dataset, as its frames see it.

    Raises:
        DataError: if the recording or its boxes cannot be read.
    """
    files = next(r for r in dataset.recordings if r.name == sequence)
    recording = dataset.open(files.events_path)
    return Playback(
        sequence, recording, dataset.sensor_hw, dataset.frame_spec, dataset.boxes_of(files)
    )
