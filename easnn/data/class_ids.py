"""Class ids in files and the classes of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from easnn.data.info import FILE_NAME
from easnn.utils.errors import DataError


def check_class_ids(boxes: np.ndarray, class_names: Sequence[str], path: Path, root: Path) -> None:
    """Check that boxes (BOX_DTYPE) have known classes.

    Args:
        boxes: the boxes.
        class_names: name of each class id, in order.
        path: the file that they come from.
        root: folder of the dataset.

    Raises:
        DataError: if one does not.
    """
    class_ids, last_id = boxes["class_id"], len(class_names) - 1
    unknown = class_ids[(class_ids < 0) | (class_ids > last_id)]
    if len(unknown):
        raise DataError(
            f"The class ids in {path} must be 0 to {last_id} ({', '.join(class_names)}), but {len(unknown)} "
            f"of {len(boxes)} boxes have others, like {unknown[0]}. Remove these boxes, or declare all "
            f'classes as "class_names" in {root / FILE_NAME}.'
        )
