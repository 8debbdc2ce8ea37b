"""Checks that apply to the boxes and classes of every dataset, and the clipping of boxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from easnn.utils.errors import ConfigError, DataError

MAX_LISTED_NAMES = 7
"""Messages list class names up to this number; of more classes they only give the number."""


def check_class_ids(
    boxes: np.ndarray, class_names: Sequence[str], path: Path, class_file: Path | None
) -> None:
    """Check that all boxes have known classes.

    Args:
        boxes: the boxes (BOX_DTYPE).
        class_names: name of each class id, in order.
        path: the file that the boxes come from.
        class_file: the file in which a user may declare other classes, if there is one.

    Raises:
        DataError: if a class id has no name.
    """
    class_ids, last_id = boxes["class_id"], len(class_names) - 1
    unknown = class_ids[(class_ids < 0) | (class_ids > last_id)]
    if len(unknown):
        place = "`class_names`" if class_file is None else f'"class_names" in {class_file}'
        raise DataError(
            f"The class ids in {path} must be 0 to {last_id}{_listed(class_names)}, but "
            f"{len(unknown)} of {len(boxes)} boxes have others, like {unknown[0]}. Remove these "
            f"boxes, or declare all classes as {place}."
        )


def check_order_and_numbers(boxes: np.ndarray, path: Path) -> None:
    """Check that boxes are sorted by time and finite.

    Args:
        boxes: the boxes (BOX_DTYPE).
        path: the file that they come from.

    Raises:
        DataError: naming the first box that is not.
    """
    times_us = boxes["t_us"]
    late = np.flatnonzero(times_us[1:] < times_us[:-1])
    if len(late):
        at = int(late[0])
        raise DataError(
            f"The boxes of {path} must come sorted by time, but one at {times_us[at]} µs is "
            f"followed by one at {times_us[at + 1]} µs. Sort them where they are read."
        )
    infinite = ~np.logical_and.reduce([np.isfinite(boxes[name]) for name in ("x", "y", "w", "h")])
    if infinite.any():
        x, y, w, h = boxes[infinite][["x", "y", "w", "h"]][0]
        raise DataError(
            f"The boxes of {path} must be finite, but one at {times_us[infinite][0]} µs is "
            f"x={x:g}, y={y:g}, w={w:g}, h={h:g}. Correct or remove it."
        )


def check_num_classes(
    num_classes: int, class_names: Sequence[str], root: Path, class_file: Path | None
) -> None:
    """Check that a detector of ``num_classes`` classes fits a dataset.

    Args:
        num_classes: number of classes of the detector.
        class_names: those of the dataset.
        root: folder of the dataset.
        class_file: the file in which a user may declare other classes, if there is one.

    Raises:
        ConfigError: if it does not.
    """
    if num_classes != len(class_names):
        advice = (
            ""
            if class_file is None
            else f' Other classes are declared as "class_names" in {class_file}.'
        )
        raise ConfigError(
            f"`num_classes` must be {len(class_names)}{_listed(class_names)} for {root}, but is "
            f"{num_classes}.{advice}"
        )


def clip_to_frame(boxes: np.ndarray, frame_hw: tuple[int, int]) -> np.ndarray:
    """Return boxes (BOX_DTYPE) clipped to a frame of (height, width) pixels."""
    height, width = frame_hw
    clipped = boxes.copy()
    for start, length, side in (("x", "w", width), ("y", "h", height)):
        clipped[start] = boxes[start].clip(0, side)
        clipped[length] = (boxes[start] + boxes[length]).clip(0, side) - clipped[start]
    return clipped


def _listed(class_names: Sequence[str]) -> str:
    return f" ({', '.join(class_names)})" if len(class_names) <= MAX_LISTED_NAMES else ""
