"""Annotations of N-Caltech101: the outline of an object's box and of the object itself.

A file has two contours. Each consists of 16-bit integers: 2, the number of points N, and N pairs
(x, y).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from easnn.utils.errors import DataError
from easnn.utils.files import atomic_write, refuse_special

MAX_FILE_BYTES = 1 << 20


class Contours(NamedTuple):
    """The contours of an annotation, in sensor pixels; points may lie outside the frame.

    Attributes:
        box: ``[N,2]`` int16, corners (x, y) of the box; the first one is often repeated at the end.
        object: ``[M,2]`` int16, points (x, y) of the object's outline.
    """

    box: np.ndarray
    object: np.ndarray


def read_contours(path: Path | str) -> Contours:
    """Read an annotation.

    Raises:
        DataError: if the file is missing, cut off or not an annotation.
    """
    path = Path(path)
    refuse_special(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    values = np.frombuffer(data[: len(data) // 2 * 2], "<i2")
    box, rest = _take(values, path, "box", at_least=2)
    outline, _ = _take(rest, path, "object", at_least=0)
    return Contours(box, outline)


def write_contours(path: Path | str, contours: Contours) -> None:
    """Write an annotation; :func:`read_contours` returns the same contours.

    Raises:
        OutputError: if the file cannot be written.
    """
    with atomic_write(Path(path)) as file:
        for points in contours:
            file.write(np.array([2, len(points), *np.ravel(points)], "<i2").tobytes())


def _take(
    values: np.ndarray, path: Path, name: str, *, at_least: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the points ``[N,2]`` at the start of ``values``, and the values after them."""
    if len(values) < 2:
        raise DataError(
            f"{path} is cut off: it ends before the contour of the {name}. Copy it again."
        )
    rows, count = values[:2].tolist()
    if rows != 2 or count < at_least:
        raise DataError(
            f"The contour of the {name} in {path} must have 2 rows and at least {at_least} "
            "columns, but has "
            f"{rows} and {count}. The file is damaged, or not an annotation of N-Caltech101."
        )
    if len(values) < 2 + 2 * count:
        raise DataError(
            f"{path} is cut off: the contour of the {name} must have {count} points, but the file "
            f"ends after {(len(values) - 2) // 2}. Copy it again."
        )
    return values[2 : 2 + 2 * count].reshape(count, 2), values[2 + 2 * count :]
