"""Events that other programs store as columns t, x, y and p of any integer type."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from easnn.events.checks import MAX_TIME_US, reject_rows
from easnn.events.dtypes import pack_events
from easnn.utils.errors import DataError

COLUMNS = ("t", "x", "y", "p")
_MAX_PX = 65_535


def check_columns(
    columns: dict[str, tuple[np.dtype, tuple[int, ...]]], path: Path, place: str
) -> int:
    """Check types and shapes of the columns t, x, y and p, and return the number of events.

    Args:
        columns: type and shape of each column.
        path: name of the file, for errors.
        place: prefix of the column names in the file, e.g. "events/".

    Raises:
        DataError: if a column is not an integer array [N], if they differ in N, or if N is 0.
    """
    for name, (dtype, shape) in columns.items():
        if dtype.kind not in "iub" or len(shape) != 1:
            raise DataError(
                f"`{place}{name}` of {path} must be integers [N], but is {dtype} {list(shape)}. "
                "Times are in µs."
            )
    counts = {name: shape[0] for name, (_, shape) in columns.items()}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise DataError(f"The columns of {path} must be equally long, but are: {found}.")
    if counts["t"] == 0:
        raise DataError(f"{path} has no events. Copy or record it again.")
    return counts["t"]


def keeps_far(sensor_hw: tuple[int, int] | None, *, drop_invalid: bool) -> bool:
    """Return whether to pack events whose coordinates do not fit 16 bits, so that they are dropped.

    Pixel 65535, to which they are moved, must be outside of the sensor.
    """
    return drop_invalid and sensor_hw is not None and max(sensor_hw) <= _MAX_PX


def pack_columns(
    columns: dict[str, np.ndarray],
    path: Path,
    *,
    first: int = 0,
    offset_us: int = 0,
    keep_far: bool = False,
) -> np.ndarray:
    """Return columns t, x, y and p, each of length N, as events [N] (EVENT_DTYPE), in this order.

    Args:
        columns: integer arrays; the polarity may be 0 and 1, or -1 and 1.
        path: name of the file, for errors.
        first: number of the first of these events in the file.
        offset_us: added to the times.
        keep_far: whether an event whose coordinates do not fit 16 bits is moved to pixel 65535 of
            both axes, rather than an error.

    Raises:
        DataError: if a time, a coordinate or a polarity is out of range.
    """
    t, x, y, p = (columns[name] for name in COLUMNS)
    too_far = (x < 0) | (x > _MAX_PX) | (y < 0) | (y > _MAX_PX)
    if keep_far and too_far.any():
        x, y = np.where(too_far, _MAX_PX, x), np.where(too_far, _MAX_PX, y)
        too_far[:] = False
    for wrong, rule in (
        ((t > MAX_TIME_US) | (t < -MAX_TIME_US), "must be within 2⁶¹ µs of 0"),
        (too_far, f"must lie at 0 to {_MAX_PX}"),
        ((p < -1) | (p > 1), "must have a polarity of 0 or 1, or of -1 or 1"),
    ):
        if wrong.any():
            rows = np.empty(len(t), [(name, columns[name].dtype) for name in COLUMNS])
            for name in COLUMNS:
                rows[name] = columns[name]
            reject_rows(wrong, rule, rows, name="Event", path=path, first=first)
    return pack_events(t.astype(np.int64) + offset_us, x, y, p > 0)
