"""Recordings in formats without random access: they are loaded into memory."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path

import numpy as np

from easnn.events.checks import restore_order
from easnn.events.dtypes import copied
from easnn.events.evidence import reject_zeros
from easnn.events.outside import Outside

Reader = Callable[[Path], tuple[np.ndarray, tuple[int, int] | None]]
"""A module-level function that returns the N ≥ 1 events of a file (EVENT_DTYPE, in the order of the
file) and the height and width of its sensor in pixels, or None if the file does not store them."""


class LoadedRecording:
    """A :class:`~easnn.events.Recording` that is read completely when it is opened.

    It is pickled as its path: a worker process reads the file again.
    """

    def __init__(
        self,
        path: Path,
        sensor_hw: tuple[int, int] | None,
        read: Reader,
        drop_invalid: bool = False,
    ) -> None:
        self.path = path
        self._given_hw = sensor_hw
        self._read = read
        self._events, stored_hw = read(path)
        self.sensor_hw = sensor_hw or stored_hw
        reject_zeros(self._events, path, "events")
        self._late_events = restore_order(self._events, path)
        self.first_us, self.last_us = self._events["t_us"][[0, -1]].tolist()
        self._outside = Outside(path, self.sensor_hw, drop=drop_invalid)
        stored = len(self._events)
        if self.sensor_hw is not None:
            self._events = self._outside.kept(self._events, first=0)
        self._dropped = stored - len(self._events)

    def __reduce__(
        self,
    ) -> tuple[type[LoadedRecording], tuple[Path, tuple[int, int] | None, Reader, bool]]:
        return LoadedRecording, (self.path, self._given_hw, self._read, self._outside.drop)

    def __len__(self) -> int:
        return len(self._events)

    def window(self, start_us: int, end_us: int) -> np.ndarray:
        """See :meth:`easnn.events.Recording.window`."""
        # `np.searchsorted` would copy the times of the whole recording.
        t_us = self._events["t_us"]
        return self._slice(bisect_left(t_us, start_us), bisect_left(t_us, end_us))

    def events(self) -> np.ndarray:
        """See :meth:`easnn.events.Recording.events`."""
        return self._slice(0, len(self))

    def late_events(self) -> int:
        """See :meth:`easnn.events.StoredRecording.late_events`."""
        return self._late_events

    def dropped_events(self) -> int:
        """See :meth:`easnn.events.StoredRecording.dropped_events`."""
        return self._dropped

    def _slice(self, begin: int, end: int) -> np.ndarray:
        events = copied(self._events[begin:end])
        self._outside.check(events, first=begin)
        return self._outside.kept(events, first=begin)
