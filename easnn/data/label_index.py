"""The boxes of many recordings in a few flat arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabelIndex:
    """The labelled frames of a dataset, in the order of its recordings and of time.

    Attributes:
        recordings: ``[frames]`` int32, position of each frame's recording in the dataset.
        times_us: ``[frames]`` int64, time of each frame's label.
        offsets: ``[frames + 1]`` int64; frame i has the boxes ``offsets[i]`` to ``offsets[i+1]``.
        boxes: ``[boxes, 5]`` float32, rows (class, x, y, w, h): top-left corner and size in pixels.
    """

    recordings: np.ndarray
    times_us: np.ndarray
    offsets: np.ndarray
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.times_us)

    def boxes_of(self, frame: int) -> np.ndarray:
        """Return a view of the boxes of one frame, ``[N, 5]``."""
        return self.boxes[self.offsets[frame] : self.offsets[frame + 1]]

    def of_recording(self, number: int) -> LabelIndex:
        """Return views of the labels of one recording, which gets number 0."""
        first, end = np.searchsorted(self.recordings, [number, number + 1])
        offsets = self.offsets[first : end + 1]
        return LabelIndex(
            self.recordings[first:end] - np.int32(number),
            self.times_us[first:end],
            offsets - offsets[0],
            self.boxes[offsets[0] : offsets[-1]],
        )


def index_labels(boxes_of_recordings: Iterable[np.ndarray]) -> LabelIndex:
    """Return one frame for each distinct time of the boxes of each recording.

    Boxes keep their values and order. Those without a positive width and height are dropped; a time
    at which no box is left is a frame without boxes.

    Args:
        boxes_of_recordings: for each recording its boxes (``BOX_DTYPE``), sorted by time.
    """
    return join_labels([labels_of_recording(boxes) for boxes in boxes_of_recordings])


def labels_of_recording(boxes: np.ndarray) -> LabelIndex:
    """Return the labels of one recording, which gets number 0; see :func:`index_labels`."""
    distinct_times, frame_of_box = np.unique(boxes["t_us"], return_inverse=True)
    kept = has_area(boxes)
    counts = np.bincount(frame_of_box[kept], minlength=len(distinct_times))
    fields = [boxes[name][kept] for name in ("class_id", "x", "y", "w", "h")]
    return LabelIndex(
        np.zeros(len(distinct_times), np.int32),
        distinct_times,
        np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)]),
        np.stack(fields, axis=1).astype(np.float32),
    )


def has_area(boxes: np.ndarray) -> np.ndarray:
    """Return which boxes have a positive width and height, [N]; the others are dropped."""
    return (boxes["w"] > 0) & (boxes["h"] > 0)


def join_labels(labels_of_recordings: Sequence[LabelIndex]) -> LabelIndex:
    """Join the labels of several recordings, which are numbered in their order."""
    frames = [len(labels) for labels in labels_of_recordings]
    counts = np.concatenate([np.diff(labels.offsets) for labels in labels_of_recordings])
    return LabelIndex(
        np.repeat(np.arange(len(frames), dtype=np.int32), frames),
        np.concatenate([labels.times_us for labels in labels_of_recordings]),
        np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)]),
        np.concatenate([labels.boxes for labels in labels_of_recordings]),
    )
