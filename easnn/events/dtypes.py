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

MOTION_DTYPE = np.dtype([("still_s", "<f4"), ("speed", "<f4"), ("visible", "<f4")])
"""How the object of a box moves on the sensor; NaN where that is not known.

``still_s``: seconds since it last moved, 0 while it moves, the time of the label if it has not
moved since the recording began; ``speed``: in pixels per second; ``visible``: share of its area
that is in the frame and not occluded, 0 to 1. The motion of the camera counts, because it moves the
image.
"""

MOTION_BOX_DTYPE = np.dtype([*BOX_DTYPE.descr, *MOTION_DTYPE.descr])
"""A labelled box, and how its object moves."""


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
