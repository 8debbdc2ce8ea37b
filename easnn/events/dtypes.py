"""The NumPy types of an event and of a labelled box, used for every file format."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

EVENT_DTYPE = np.dtype([("t_us", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
"""An event: time in µs; pixel x (right), y (down); polarity (0 OFF: darker, 1 ON: brighter)."""

BOX_DTYPE = np.dtype(
    [
        ("t_us", "<i8"),
        ("x", "<f4"),
        ("y", "<f4"),
        ("w", "<f4"),
        ("h", "<f4"),
        ("class_id", "<i4"),
        ("track_id", "<i8"),
        ("confidence", "<f4"),
    ]
)
"""A labelled box: time in µs; top left corner and size in pixels (may leave the frame)."""


def pack_events(
    t_us: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike, p: npt.ArrayLike
) -> np.ndarray:
    """Return the columns, each of length N, as one array [N] of EVENT_DTYPE."""
    t_us = np.asarray(t_us)
    events = np.empty(t_us.shape, EVENT_DTYPE)
    events["t_us"], events["x"], events["y"], events["p"] = t_us, x, y, p
    return events


def copied(events: np.ndarray) -> np.ndarray:
    """Return a copy of ``events`` [N].

    NumPy copies structured values field by field, which takes many times as long as their bytes.
    """
    return np.ascontiguousarray(events).view(np.uint8).copy().view(events.dtype)
