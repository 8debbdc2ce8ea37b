"""Recordings of formats that cannot be read in part: they are held in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from easnn.events.order import check_inside, restore_order

Reader = Callable[[Path], tuple[np.ndarray, tuple[int, int] | None]]
"""A function of a module: from a file to its N ≥ 1 events (EVENT_DTYPE, in the file's order) and the height
and width of its sensor in pixels, None if the file does not say."""


class LoadedRecording:
    """A recording that is read as a whole when it is opened: see :class:`easnn.events.Recording`.

    It is pickled as its path: a worker process reads the file again.
    """

    def __init__(self, path: Path, sensor_hw: tuple[int, int] | None, read: Reader) -> None:
        self.path = path
        self._given_hw = sensor_hw
        self._read = read
        self._events, stored_hw = read(path)
        self.sensor_hw = sensor_hw or stored_hw
        self._late_events = restore_order(self._events, path)

    def __reduce__(self) -> tuple[type[LoadedRecording], tuple[Path, tuple[int, int] | None, Reader]]:
        return LoadedRecording, (self.path, self._given_hw, self._read)

    def __len__(self) -> int:
        return len(self._events)

    @property
    def first_us(self) -> int:
        """Time of the first event."""
        return int(self._events["t_us"][0])

    @property
    def last_us(self) -> int:
        """Time of the last event."""
        return int(self._events["t_us"][-1])

    def window(self, start_us: int, end_us: int) -> np.ndarray:
        """Return the events with ``start_us <= t_us < end_us``: a fresh array of EVENT_DTYPE, sorted by time.

        Raises:
            DataError: if an event lies outside the sensor.
        """
        begin, end = np.searchsorted(self._events["t_us"], (start_us, end_us))
        return self._slice(int(begin), int(end))

    def events(self) -> np.ndarray:
        """Return all events: a fresh array of EVENT_DTYPE, sorted by time.

        Raises:
            DataError: if an event lies outside the sensor.
        """
        return self._slice(0, len(self))

    def late_events(self) -> int:
        """Return how many events come after one that is later than them."""
        return self._late_events

    def _slice(self, begin: int, end: int) -> np.ndarray:
        events = self._events[begin:end].copy()
        check_inside(events, self.sensor_hw, self.path, first=begin)
        return events
