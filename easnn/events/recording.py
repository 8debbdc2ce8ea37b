"""The interface of an event recording, and a way to read one in pieces."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

PIECE_EVENTS = 1_000_000


class Recording(Protocol):
    """An event recording, whatever its file format.

    Times are in µs, unwrapped and never decreasing. A recording can be pickled: a worker process
    opens the file again.
    """

    @property
    def path(self) -> Path:
        """Path of the file."""
        ...

    @property
    def sensor_hw(self) -> tuple[int, int] | None:
        """Height and width of the sensor in pixels; None if unknown."""
        ...

    @property
    def first_us(self) -> int:
        """Time of the first event that is stored, even if it is dropped."""
        ...

    @property
    def last_us(self) -> int:
        """Time of the last event that is stored, even if it is dropped."""
        ...

    def __len__(self) -> int:
        """Return the number of events, without those that are dropped."""
        ...

    def window(self, start_us: int, end_us: int) -> np.ndarray:
        """Return the events with ``start_us <= t_us < end_us``.

        Returns:
            A new array [N] of EVENT_DTYPE, sorted by time.

        Raises:
            DataError: if an event lies outside the sensor, or if the file is damaged there.
        """
        ...

    def events(self) -> np.ndarray:
        """Return all events, in the same form and with the same errors as :meth:`window`."""
        ...


class StoredRecording(Recording, Protocol):
    """A recording that also reports how well its file is sorted, and what is dropped of it."""

    def late_events(self) -> int:
        """Return how many events are stored after a later one; this may read the whole file."""
        ...

    def dropped_events(self) -> int:
        """Return how many events lie outside of the sensor and are dropped (``drop_invalid``).

        This may read the whole file. Without ``drop_invalid`` it is 0.
        """
        ...


def event_pieces(recording: Recording) -> Iterator[np.ndarray]:
    """Yield all events of a recording in order, in pieces of equal duration.

    Each piece is an array of EVENT_DTYPE with about PIECE_EVENTS events if the event rate is
    constant; a piece may be empty.

    Raises:
        DataError: if an event lies outside the sensor.
    """
    count = math.ceil(len(recording) / PIECE_EVENTS)
    duration_us = recording.last_us + 1 - recording.first_us
    bounds = [recording.first_us + duration_us * number // count for number in range(count + 1)]
    for start_us, end_us in pairwise(bounds):
        yield recording.window(start_us, end_us)
