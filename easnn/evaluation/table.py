"""The frames of an evaluation as arrays."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easnn.evaluation.frame import FrameResult
from easnn.evaluation.result import Counts
from easnn.utils.errors import DataError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FrameTable:
    """Boxes and detections of all frames, ordered by frame number.

    Attributes:
        times_us: ``[F]``: time of each frame.
        boxes: ``[N, 5]``: class, x, y, w, h.
        box_frame: ``[N]``: index 0 … F−1 of the frame of each box.
        detections: ``[M, 6]``: class, score, x, y, w, h.
        detection_frame: ``[M]``: index of the frame of each detection.
    """

    times_us: Integers
    boxes: Floats
    box_frame: Integers
    detections: Floats
    detection_frame: Integers

    @classmethod
    def of(cls, frames: Collection[FrameResult], class_names: Collection[str]) -> FrameTable:
        """Check and sort frames.

        Raises:
            DataError: if a frame occurs twice, or a class is unknown.
        """
        ordered = sorted(frames, key=lambda frame: frame.frame)
        for frame, following in itertools.pairwise(ordered):
            if frame.frame == following.frame:
                raise DataError(f"Frame {frame.frame} must be evaluated once, but was given twice.")
        boxes = np.concatenate([np.empty((0, 5)), *(frame.ground_truth for frame in ordered)])
        detections = np.concatenate([np.empty((0, 6)), *(frame.detections for frame in ordered)])
        for kind, rows in (("ground truth box", boxes), ("detection", detections)):
            unknown = ~np.isin(rows[:, 0], np.arange(len(class_names)))
            if unknown.any():
                names = ", ".join(class_names)
                raise DataError(
                    f"The class of a {kind} must be one of 0 … {len(class_names) - 1} ({names}), "
                    f"but is {rows[unknown.argmax(), 0]:g}. Check that `num_classes` fits the "
                    "dataset."
                )
        numbers = np.arange(len(ordered))
        return cls(
            np.array([frame.time_us for frame in ordered], dtype=np.int64),
            boxes,
            np.repeat(numbers, [len(frame.ground_truth) for frame in ordered]),
            detections,
            np.repeat(numbers, [len(frame.detections) for frame in ordered]),
        )

    @property
    def counts(self) -> Counts:
        """The numbers of frames, boxes and detections."""
        return Counts(len(self.times_us), len(self.boxes), len(self.detections))

    def keep(self, frames: Mask, boxes: Mask, detections: Mask) -> FrameTable:
        """Return the frames, and those of their boxes and detections, where the masks are set."""
        boxes = boxes & frames[self.box_frame]
        detections = detections & frames[self.detection_frame]
        renumbered = np.cumsum(frames) - 1
        return FrameTable(
            self.times_us[frames],
            self.boxes[boxes],
            renumbered[self.box_frame[boxes]],
            self.detections[detections],
            renumbered[self.detection_frame[detections]],
        )
