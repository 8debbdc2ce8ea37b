"""The one event type, the one box type, and what every recording offers, whatever its file format."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

EVENT_DTYPE = np.dtype([("t_us", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
"""An event: time in µs, pixel (x right, y down, from 0), polarity (0 OFF, darker; 1 ON, brighter)."""

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
"""A labelled box: time in µs, top left corner and size in pixels (may leave the frame), class, track."""


class Recording(Protocol):
    """A recording on disk, read lazily.

    Times are in µs, unwrapped and in order. Recordings can be pickled: a worker process opens the file again.
    """

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def sensor_hw(self) -> tuple[int, int] | None:
        """Height and width of the sensor in pixels, None if neither the file nor the caller says."""
        ...

    @property
    def first_us(self) -> int:
        """Time of the first event."""
        ...

    @property
    def last_us(self) -> int:
        """Time of the last event."""
        ...

    def __len__(self) -> int:
        """Return the number of events."""
        ...

    def window(self, start_us: int, end_us: int) -> np.ndarray:
        """Return the events with ``start_us <= t_us < end_us``: a fresh array of EVENT_DTYPE, sorted by time.

        Raises:
            DataError: if an event lies outside the sensor.
        """
        ...

    def events(self) -> np.ndarray:
        """Return all events: a fresh array of EVENT_DTYPE, sorted by time.

        Raises:
            DataError: if an event lies outside the sensor.
        """
        ...


class StoredRecording(Recording, Protocol):
    """A recording that also tells how its events lie in the file."""

    def late_events(self) -> int:
        """Return how many events come after one that is later than them; this reads the whole file."""
        ...


def pack_events(t_us: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike, p: npt.ArrayLike) -> np.ndarray:
    """Return the columns, each of length N, as one array [N] of EVENT_DTYPE."""
    t_us = np.asarray(t_us)
    events = np.empty(t_us.shape, EVENT_DTYPE)
    events["t_us"], events["x"], events["y"], events["p"] = t_us, x, y, p
    return events
