"""Boxes of many recordings as a few flat arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabelIndex:
    """The labelled frames of a dataset, in the order of its recordings and of time.

    Attributes:
        recordings: ``[frames]`` int32, position of each frame's recording in the dataset.
        times_us: ``[frames]`` int64, time of each frame's label.
        offsets: ``[frames + 1]`` int64; frame i has the boxes ``offsets[i]`` to ``offsets[i+1]``.
        boxes: ``[boxes, 5]`` float32, rows (class, x, y, w, h): top-left corner and size in sensor pixels.
    """

    recordings: np.ndarray
    times_us: np.ndarray
    offsets: np.ndarray
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.times_us)

    def boxes_of(self, frame: int) -> np.ndarray:
        """Return the boxes of one frame, ``[N, 5]``: a view."""
        return self.boxes[self.offsets[frame] : self.offsets[frame + 1]]


def index_labels(boxes_of_recordings: Iterable[np.ndarray]) -> LabelIndex:
    """Make one frame of every distinct time in each recording.

    Boxes keep their values and order. Those without a positive width and height are dropped; a time at
    which none is left stays, as a frame without boxes.

    Args:
        boxes_of_recordings: for each recording its boxes (``BOX_DTYPE``), sorted by time.
    """
    recordings, times, counts, rows = [], [], [], []
    for number, boxes in enumerate(boxes_of_recordings):
        distinct_times, frame_of_box = np.unique(boxes["t_us"], return_inverse=True)
        kept = (boxes["w"] > 0) & (boxes["h"] > 0)
        recordings.append(np.full(len(distinct_times), number, np.int32))
        times.append(distinct_times)
        counts.append(np.bincount(frame_of_box[kept], minlength=len(distinct_times)))
        fields = [boxes[name][kept] for name in ("class_id", "x", "y", "w", "h")]
        rows.append(np.stack(fields, axis=1).astype(np.float32))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(counts), dtype=np.int64)])
    return LabelIndex(np.concatenate(recordings), np.concatenate(times), offsets, np.concatenate(rows))
