"""The frames of an evaluation as arrays."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easnn.evaluation.frame import FrameResult, Rows
from easnn.evaluation.result import Counts
from easnn.events import MOTION_DTYPE
from easnn.utils.errors import DataError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MOTION = MOTION_DTYPE.names or ()


@dataclass(frozen=True)
class FrameTable:
    """Boxes and detections of all frames, ordered by frame number.

    Attributes:
        times_us: ``[F]``: time of each frame.
        boxes: ``[N, 5]``: class, x, y, w, h.
        box_frame: ``[N]``: index 0 … F−1 of the frame of each box.
        detections: ``[M, 6]``: class, score, x, y, w, h.
        detection_frame: ``[M]``: index of the frame of each detection.
        motion: ``[N, 3]``: seconds since the object of each box moved, its speed in px/s, its
            visible share; NaN where that is not known.
        invalid_detections: number of detections that were given but are none; see :meth:`of`.
    """

    times_us: Integers
    boxes: Floats
    box_frame: Integers
    detections: Floats
    detection_frame: Integers
    motion: Floats
    invalid_detections: int = 0

    @classmethod
    def of(cls, frames: Collection[FrameResult], class_names: Collection[str]) -> FrameTable:
        """Check and sort frames.

        A detection is invalid if a number of it is not finite (in float32, as detectors compute),
        if its width or height is negative, or if its class is unknown. It can hit nothing, and its
        place in the order of scores may be undefined, so it is left out and counted.

        Raises:
            DataError: if a frame occurs twice, rows do not have the right form, or a box of the
                ground truth is invalid.
        """
        ordered = sorted(frames, key=lambda frame: frame.frame)
        for frame, following in itertools.pairwise(ordered):
            if frame.frame == following.frame:
                raise DataError(f"Frame {frame.frame} must be evaluated once, but was given twice.")
        boxes, box_frame = _stacked(
            ordered, "ground truth", "class, left, top, width, height", lambda f: f.ground_truth
        )
        detections, detection_frame = _stacked(
            ordered, "detections", "class, score, left, top, width, height", lambda f: f.detections
        )
        _check_ground_truth(boxes, class_names, [ordered[index].frame for index in box_frame])
        valid = _numbers_hold(detections) & _is_known(detections, class_names)
        return cls(
            np.array([frame.time_us for frame in ordered], dtype=np.int64),
            boxes,
            box_frame,
            detections[valid],
            detection_frame[valid],
            _motion_of(ordered, np.bincount(box_frame, minlength=len(ordered))),
            int((~valid).sum()),
        )

    @property
    def counts(self) -> Counts:
        """The numbers of frames, boxes and valid detections."""
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
            self.motion[boxes],
            self.invalid_detections,
        )


def _stacked(
    frames: Sequence[FrameResult], name: str, columns: str, rows_of: Callable[[FrameResult], Rows]
) -> tuple[Floats, Integers]:
    """Return the rows of all frames, and the index of the frame of each row.

    Args:
        frames: the frames.
        name: what the rows are, for messages.
        columns: names of the columns.
        rows_of: returns the rows of a frame; without rows they may have any shape, as ``[]`` has.

    Raises:
        DataError: if the rows of a frame are no numbers or do not have these columns.
    """
    width = columns.count(",") + 1
    parts = [np.empty((0, width))]
    for frame in frames:
        try:
            rows = np.asarray(rows_of(frame), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"The {name} of frame {frame.frame} must be rows of {width} numbers ({columns}), "
                f"but are not: {error}."
            ) from error
        if not rows.size:
            rows = parts[0]
        if rows.ndim != 2 or rows.shape[1] != width:
            raise DataError(
                f"The {name} of frame {frame.frame} must be [N, {width}] ({columns}), but are "
                f"{list(rows.shape)}."
            )
        parts.append(rows)
    return np.concatenate(parts), np.repeat(np.arange(len(frames)), [len(p) for p in parts[1:]])


def _motion_of(frames: Sequence[FrameResult], counts: Integers) -> Floats:
    """Return the motion of the boxes of all frames, NaN where a frame has none.

    Raises:
        DataError: if the motion of a frame does not belong to its boxes, as many as ``counts``.
    """
    parts = [np.empty((0, len(MOTION)))]
    for frame, count in zip(frames, counts.tolist(), strict=True):
        expected = (count, len(MOTION))
        rows = np.full(expected, np.nan)
        if frame.motion is not None and count:
            rows = np.asarray(frame.motion, dtype=np.float64)
        if rows.shape != expected:
            raise DataError(
                f"The motion of frame {frame.frame} must be {list(expected)} "
                f"({', '.join(MOTION)}), one row for each box, but is {list(rows.shape)}."
            )
        parts.append(rows)
    return np.concatenate(parts)


def _check_ground_truth(
    boxes: Floats, class_names: Collection[str], frame_numbers: Sequence[int]
) -> None:
    """Check that boxes are finite, have no negative size and belong to a class.

    Raises:
        DataError: naming the first that does not.
    """
    wrong = ~_numbers_hold(boxes)
    if wrong.any():
        row = int(wrong.argmax())
        label, *box = (f"{number:g}" for number in boxes[row])
        raise DataError(
            f"A box of the ground truth must be finite and have no negative size, but in frame "
            f"{frame_numbers[row]} left, top, width, height are {', '.join(box)} (class {label}). "
            "Check the labels with `easnn check-data`."
        )
    unknown = ~_is_known(boxes, class_names)
    if unknown.any():
        names = ", ".join(class_names)
        raise DataError(
            f"The class of a ground truth box must be one of 0 … {len(class_names) - 1} ({names}), "
            f"but is {boxes[unknown.argmax(), 0]:g}. Check that `num_classes` fits the dataset."
        )


def _numbers_hold(rows: Floats) -> Mask:
    """Return which rows, ending in width and height, are finite in float32, without negative size.

    Without the bound of float32, the area of a finite box could be infinite, and its IoU NaN.
    """
    finite = np.abs(rows) <= np.finfo(np.float32).max  # False for NaN
    return np.all(finite, axis=1) & np.all(rows[:, -2:] >= 0, axis=1)


def _is_known(rows: Floats, class_names: Collection[str]) -> Mask:
    return np.isin(rows[:, 0], np.arange(len(class_names)))
