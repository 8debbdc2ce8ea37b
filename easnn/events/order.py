"""Checks of events: their order, polarity, and place on the sensor."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from easnn.events.checks import reject_rows

LATE_US = 1_000_000
"""How late an event may come; where times fall by more, the clock of the camera began again."""

NO_TIME_US = -(2**62)
"""Earlier than every event."""


def restore_order(events: np.ndarray, path: Path, *, first: int = 0, latest_us: int = NO_TIME_US) -> int:
    """Replace each time by the greatest one up to it, in place, and return how many were late.

    Args:
        events: events [N] (EVENT_DTYPE) in the order of the file.
        path: the file's name for errors.
        first: number of the first of these events in the file.
        latest_us: greatest time before them.

    Raises:
        DataError: if an event comes more than 1 s late.
    """
    latest = np.maximum.accumulate(events["t_us"])
    np.maximum(latest, latest_us, out=latest)
    reject_rows(
        latest - events["t_us"] > LATE_US,
        "must not be more than 1 s before one that comes earlier in the file (times run backwards)",
        events,
        name="Event",
        path=path,
        first=first,
    )
    late = int(np.count_nonzero(events["t_us"] < latest))
    events["t_us"] = latest
    return late


def check_inside(
    events: np.ndarray, sensor_hw: tuple[int, int] | None, path: Path, *, first: int = 0
) -> None:
    """Check that the events lie inside the sensor, if its height and width in pixels are known.

    Raises:
        DataError: naming the first event that does not.
    """
    if sensor_hw is None:
        return
    height, width = sensor_hw
    outside = (events["x"] >= width) | (events["y"] >= height)
    rule = f"must lie inside the sensor, {width}×{height} pixels"
    reject_rows(outside, rule, events, name="Event", path=path, first=first)


def check_writable(
    events: np.ndarray, limit_hw: tuple[int, int], path: Path, *, first: int = 0, last_us: int = 0
) -> None:
    """Check what events [N] must be to be written, whatever the format.

    Args:
        events: a piece of the events of the file (EVENT_DTYPE).
        limit_hw: height and width in pixels in which they must lie.
        path: the file's name for errors.
        first: number of the first of these events in the file.
        last_us: time of the event before it, or the earliest time that there may be.

    Raises:
        DataError: naming the first event that is wrong.
    """
    t_us = events["t_us"]
    reject = functools.partial(reject_rows, rows=events, name="Event", path=path, first=first)
    reject(t_us < 0, "must not be before 0 µs")
    reject(np.diff(t_us, prepend=last_us) < 0, "must not be before the event before it")
    reject(events["p"] > 1, "must have a polarity of 0 or 1")
    check_inside(events, limit_hw, path, first=first)
