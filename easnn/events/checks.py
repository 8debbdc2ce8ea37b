"""Checks of events and boxes that name the first wrong row, and the handling of late events."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt

from easnn.events import native_calls
from easnn.utils.errors import DataError

LATE_US = 1_000_000
"""How late an event may be; a larger drop of the times means that the camera's clock restarted."""

NO_TIME_US = -(2**62)
"""A time before every event."""

MAX_TIME_US = 2**61
"""The latest time of an event; differences of times, also of such before 0, fit into 64 bits."""


def reject_rows(
    wrong: npt.NDArray[np.bool_],
    rule: str,
    rows: np.ndarray,
    *,
    name: str,
    path: Path,
    first: int = 0,
    advice: str = "",
) -> None:
    """Raise an error that names the first row for which ``wrong`` is true, if there is one.

    Args:
        wrong: which rows break the rule, [N].
        rule: what every row must satisfy, e.g. "must lie inside the sensor".
        rows: the rows [N], a structured array.
        name: what a row is called in the message.
        path: the file that the rows come from or go to.
        first: number of the first row in that file.
        advice: a sentence for the end of the message, after a space.

    Raises:
        DataError: if any row is wrong.
    """
    if not wrong.any():
        return
    index = int(wrong.argmax())
    values = row_values(rows, index)
    raise DataError(f"{name} {first + index} of {path} {rule}, but is {values}.{advice}")


def row_values(rows: np.ndarray, index: int) -> str:
    """Return the fields of a row of a structured array as text, like ``x=1, y=2``."""
    return ", ".join(f"{field}={rows[field][index]}" for field in rows.dtype.names or ())


def restore_order(
    events: np.ndarray, path: Path, *, first: int = 0, latest_us: int = NO_TIME_US
) -> int:
    """Replace each time by the running maximum of the times, in place.

    Args:
        events: events [N] (EVENT_DTYPE) in the order of the file.
        path: name of the file, for errors.
        first: number of the first of these events in the file.
        latest_us: largest time before them.

    Returns:
        How many events were late.

    Raises:
        DataError: if an event is more than 1 s late.
    """
    library = native_calls.library()
    if library is not None and native_calls.is_packed(events):
        late = native_calls.restore_order(library, events, latest_us=latest_us, limit_us=LATE_US)
        if late is not None:
            return late
    latest = running_maximum(events["t_us"], latest_us)
    reject_late(latest - events["t_us"] > LATE_US, events, path, first=first)
    late = int(np.count_nonzero(events["t_us"] < latest))
    events["t_us"] = latest
    return late


def reject_late(
    too_late: npt.NDArray[np.bool_], events: np.ndarray, path: Path, *, first: int = 0
) -> None:
    """Raise an error that names the first of the events [N] that is ``too_late`` [N], if any is.

    Args:
        too_late: which events are more than LATE_US late.
        events: events with their stored times (EVENT_DTYPE).
        path: name of the file, for errors.
        first: number of the first of these events in the file.

    Raises:
        DataError: if an event is too late.
    """
    rule = "must not be more than 1 s before an earlier event of the file (times run backwards)"
    reject_rows(too_late, rule, events, name="Event", path=path, first=first)


def running_maximum(t_us: npt.NDArray[np.int64], latest_us: int) -> npt.NDArray[np.int64]:
    """Return the largest time up to each of the times [N], if it is ``latest_us`` before them."""
    latest: npt.NDArray[np.int64] = np.maximum.accumulate(t_us)
    return np.maximum(latest, latest_us, out=latest)


def check_inside(
    events: np.ndarray,
    sensor_hw: tuple[int, int] | None,
    path: Path,
    *,
    first: int = 0,
    advice: str = "",
) -> None:
    """Check that the events lie inside the sensor, if its height and width in pixels are known.

    ``advice`` ends the message; see :func:`reject_rows`.

    Raises:
        DataError: naming the first event that lies outside.
    """
    if sensor_hw is None:
        return
    library = native_calls.library()
    if (
        library is not None
        and native_calls.is_packed(events)
        and native_calls.are_inside(library, events, sensor_hw)
    ):
        return
    height, width = sensor_hw
    outside = (events["x"] >= width) | (events["y"] >= height)
    rule = f"must lie inside the sensor, {width}×{height} pixels"
    reject_rows(outside, rule, events, name="Event", path=path, first=first, advice=advice)


def check_writable(
    events: np.ndarray, limit_hw: tuple[int, int], path: Path, *, first: int = 0, last_us: int = 0
) -> None:
    """Check the conditions that every format sets for the events [N] to be written.

    Args:
        events: a piece of the events of the file (EVENT_DTYPE).
        limit_hw: height and width in pixels in which they must lie.
        path: name of the file, for errors.
        first: number of the first of these events in the file.
        last_us: time of the event before them, or the earliest time allowed.

    Raises:
        DataError: naming the first event that is wrong.
    """
    t_us = events["t_us"]
    reject = functools.partial(reject_rows, rows=events, name="Event", path=path, first=first)
    reject(t_us < 0, "must not be before 0 µs")
    reject(t_us > MAX_TIME_US, "must not be after 2⁶¹ µs")
    reject(np.diff(t_us, prepend=last_us) < 0, "must not be before the previous event")
    reject(events["p"] > 1, "must have a polarity of 0 or 1")
    check_inside(events, limit_hw, path, first=first)
