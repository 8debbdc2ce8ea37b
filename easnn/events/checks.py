"""Checks of whole columns that name the first row that is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from easnn.utils.errors import DataError


def reject_rows(
    wrong: npt.NDArray[np.bool_], rule: str, rows: np.ndarray, *, name: str, path: Path, first: int = 0
) -> None:
    """Stop at the first row that breaks a rule.

    Args:
        wrong: which rows do, [N].
        rule: what every row must be, e.g. "must lie inside the sensor".
        rows: the rows [N], a structured array.
        name: what a row is called.
        path: the file that the rows come from or go to.
        first: number of the first row in that file.

    Raises:
        DataError: if any row is wrong.
    """
    if not wrong.any():
        return
    index = int(wrong.argmax())
    values = ", ".join(f"{field}={rows[field][index]}" for field in rows.dtype.names or ())
    raise DataError(f"{name} {first + index} of {path} {rule}, but is {values}.")
