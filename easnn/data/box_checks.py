"""What must hold for the boxes of every dataset, whoever reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from easnn.utils.errors import DataError


def check_boxes(boxes: np.ndarray, class_names: Sequence[str], path: Path) -> None:
    """Check that boxes (BOX_DTYPE) are sorted by time, finite, and of known classes.

    Args:
        boxes: the boxes.
        class_names: name of each class id, in order.
        path: the file that they come from.

    Raises:
        DataError: naming the first box for which this does not hold.
    """
    times_us, class_ids, last_id = boxes["t_us"], boxes["class_id"], len(class_names) - 1
    late = np.flatnonzero(times_us[1:] < times_us[:-1])
    if len(late):
        at = int(late[0])
        raise DataError(
            f"The boxes of {path} must come sorted by time, but one at {times_us[at]} µs is followed by one at "
            f"{times_us[at + 1]} µs. Sort them where they are read."
        )
    infinite = ~np.logical_and.reduce([np.isfinite(boxes[name]) for name in ("x", "y", "w", "h")])
    if infinite.any():
        x, y, w, h = boxes[infinite][["x", "y", "w", "h"]][0]
        raise DataError(
            f"The boxes of {path} must be finite, but one at {times_us[infinite][0]} µs is x={x:g}, y={y:g}, "
            f"w={w:g}, h={h:g}. Correct or remove it."
        )
    unknown = (class_ids < 0) | (class_ids > last_id)
    if unknown.any():
        raise DataError(
            f"The class ids in {path} must be 0 to {last_id}, but one at {times_us[unknown][0]} µs is "
            f"{class_ids[unknown][0]}. Correct it, or name its class in `class_names`."
        )
