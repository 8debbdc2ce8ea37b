"""Box labels of the Prophesee datasets: ``NAME_bbox.npy``, a structured array [N] per recording."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

import numpy as np

from easnn.events.checks import reject_rows
from easnn.events.dtypes import BOX_DTYPE, MOTION_BOX_DTYPE, MOTION_DTYPE
from easnn.events.evidence import reject_zeros
from easnn.events.numpy_files import load_array
from easnn.utils.errors import DataError
from easnn.utils.files import atomic_write

LAYOUTS = {
    "new": np.dtype(
        {
            "names": ["t", "x", "y", "w", "h", "class_id", "track_id", "class_confidence"],
            "formats": ["<i8", "<f4", "<f4", "<f4", "<f4", "<u4", "<u4", "<f4"],
            "itemsize": 40,
        }
    ),
    "old": np.dtype(
        [
            ("ts", "<u8"),
            ("x", "<f4"),
            ("y", "<f4"),
            ("w", "<f4"),
            ("h", "<f4"),
            ("class_id", "u1"),
            ("confidence", "<f4"),
            ("track_id", "<u4"),
        ]
    ),
}
"""The two layouts in use, of 40 bytes (padded) and 33 bytes (packed) per box.

The fields of MOTION_DTYPE may follow. Other readers know the fields of a box by their names.
"""

ZERO_BOXES = 8
"""So many boxes of zeros, which have no size, do not occur one after another."""

SYNONYMS = {"t": "t_us", "ts": "t_us", "class_confidence": "confidence"}
"""Field names in the files and in BOX_DTYPE, where they differ."""


def read_boxes(path: Path | str) -> np.ndarray:
    """Read a ``_bbox.npy`` of either layout; fields may have any order, number type and padding.

    Returns:
        The boxes [N], stably sorted by time: BOX_DTYPE, or MOTION_BOX_DTYPE if the file says how
        objects move. N may be 0.

    Raises:
        DataError: if the file is missing, damaged or not an array of boxes, or if a box has a field
            that is not finite, a time, class or track that is no whole number or too large for its
            type, a negative size or a time before 0, or an impossible motion.
    """
    path = Path(path)
    boxes = parse_boxes(load_array(path), path)
    return boxes[np.argsort(boxes["t_us"], kind="stable")]


def parse_boxes(stored: np.ndarray, path: Path) -> np.ndarray:
    """Return boxes of either layout in the same order, [N], of the dtype of :func:`read_boxes`.

    Args:
        stored: the content of the file.
        path: name of the file, for errors.

    Raises:
        DataError: if it is not an array of boxes, or if a box is wrong; see :func:`read_boxes`.
    """
    _check_fields(stored, path)
    reject_zeros(stored, path, "boxes", at_least=ZERO_BOXES)
    names = {SYNONYMS.get(name, name): name for name in stored.dtype.names or ()}
    boxes = np.empty(len(stored), MOTION_BOX_DTYPE if "still_s" in names else BOX_DTYPE)
    for name in BOX_DTYPE.names or ():
        _check_representable(stored, names[name], BOX_DTYPE[name], path)
        boxes[name] = stored[names[name]]
    with np.errstate(over="ignore"):  # the infinities are refused below
        for name in _motion_fields(boxes):
            boxes[name] = stored[name]
    _check_boxes(boxes, path)
    return boxes


def write_boxes(
    path: Path | str, boxes: np.ndarray, *, layout: Literal["new", "old"] = "new"
) -> None:
    """Write ``boxes`` [N] (BOX_DTYPE or MOTION_BOX_DTYPE) as a ``_bbox.npy``, in the given order.

    The fields of a motion follow those of the layout.

    Raises:
        DataError: if a box has a field that is not finite, a negative size, a time before 0 or an
            impossible motion, or if its class or track does not fit the layout.
        OutputError: if the file cannot be written.
    """
    path = Path(path)
    _check_boxes(boxes, path)
    reject = functools.partial(reject_rows, rows=boxes, name="Box", path=path)
    dtype = LAYOUTS[layout]
    if _motion_fields(boxes):
        fields = [(name, dtype[name]) for name in dtype.names or ()]
        dtype = np.dtype([*fields, *MOTION_DTYPE.descr])
    stored = np.zeros(len(boxes), dtype)
    for name in dtype.names or ():
        column = boxes[SYNONYMS.get(name, name)]
        if np.issubdtype(dtype[name], np.integer):
            limits = np.iinfo(dtype[name])
            rule = f"must have a {name} of {limits.min} to {limits.max} in the {layout} layout"
            reject((column < limits.min) | (column > limits.max), rule)
        stored[name] = column
    with atomic_write(path) as file:
        np.save(file, stored, allow_pickle=False)


def _check_fields(stored: np.ndarray, path: Path) -> None:
    """Check that an array is one-dimensional and has exactly the fields of a box (and motion)."""
    if stored.dtype.names is None or stored.ndim != 1:
        raise DataError(
            f"{path} must hold a structured array [N] of boxes, but holds {stored.dtype} "
            f"{list(stored.shape)}."
        )
    found = sorted(SYNONYMS.get(name, name) for name in stored.dtype.names)
    if found not in (sorted(BOX_DTYPE.names or ()), sorted(MOTION_BOX_DTYPE.names or ())):
        expected = " or ".join(", ".join(dtype.names or ()) for dtype in LAYOUTS.values())
        raise DataError(
            f"The fields of {path} must be {expected}, but are {', '.join(stored.dtype.names)}. "
            f"Beside them there may only be all of {', '.join(MOTION_DTYPE.names or ())}."
        )
    for name in stored.dtype.names:
        if stored.dtype[name].kind not in "iuf":  # NumPy counts durations among the integers
            raise DataError(
                f"The field `{name}` of {path} must hold numbers, but holds {stored.dtype[name]}."
            )


def _check_representable(stored: np.ndarray, name: str, dtype: np.dtype, path: Path) -> None:
    """Check that a field of stored boxes keeps its values in the type ``dtype``, up to rounding."""
    reject = functools.partial(reject_rows, rows=stored, name="Box", path=path)
    column = stored[name]
    if np.issubdtype(column.dtype, np.floating):
        with np.errstate(invalid="ignore"):  # of a signalling NaN, which is refused below
            column = column.astype(np.promote_types(column.dtype, np.float64))
        reject(~np.isfinite(column), f"must have a finite `{name}`")
    if np.issubdtype(dtype, np.floating):
        limit = float(np.finfo(dtype).max)
        reject(np.abs(column) > limit, f"must have a `{name}` of at most {limit:.2g}")
        return
    if np.issubdtype(column.dtype, np.floating):
        unit = " of µs" if SYNONYMS.get(name, name) == "t_us" else ""
        reject(column != np.floor(column), f"must have a whole number{unit} as `{name}`")
    limits = np.iinfo(dtype)
    # As a float, the largest integer of 64 bits would be rounded up; the next one is exact.
    too_large = column >= limits.max + 1
    rule = f"must have a `{name}` of {limits.min} to {limits.max}"
    reject((column < limits.min) | too_large, rule)


def _check_boxes(boxes: np.ndarray, path: Path) -> None:
    reject = functools.partial(reject_rows, rows=boxes, name="Box", path=path)
    for name in ("x", "y", "w", "h", "confidence"):
        reject(~np.isfinite(boxes[name]), f"must have a finite `{name}`")
    reject((boxes["w"] < 0) | (boxes["h"] < 0), "must not have a negative size")
    reject(boxes["t_us"] < 0, "must not be before 0 µs")
    for name in _motion_fields(boxes):
        limit = 1 if name == "visible" else np.finfo(np.float32).max
        rule = "from 0 to 1" if name == "visible" else "of at least 0 and finite"
        wrong = (boxes[name] < 0) | (boxes[name] > limit)  # False for NaN: not known
        reject(wrong, f"must have a `{name}` {rule}, or NaN where it is not known")


def _motion_fields(boxes: np.ndarray) -> tuple[str, ...]:
    """Return the names of the fields of MOTION_DTYPE if the boxes have them."""
    return (MOTION_DTYPE.names or ()) if "still_s" in (boxes.dtype.names or ()) else ()
