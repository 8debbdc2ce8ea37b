"""Recordings that are played backwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from easnn.events.dtypes import copied
from easnn.events.recording import Recording


@dataclass(frozen=True)
class ReversedRecording:
    """A :class:`~easnn.events.Recording` that is played backwards, about a moment that stays.

    An event at t µs happens at 2·``about_us`` − 1 − t µs, so what follows that moment precedes it
    now. What became brighter becomes darker: polarities are swapped.

    Attributes:
        recording: the recording as it was made.
        about_us: the moment.
    """

    recording: Recording
    about_us: int

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self.recording.path

    @property
    def sensor_hw(self) -> tuple[int, int] | None:
        """Height and width of the sensor in pixels; None if unknown."""
        return self.recording.sensor_hw

    @property
    def first_us(self) -> int:
        """See :attr:`easnn.events.Recording.first_us`."""
        return 2 * self.about_us - 1 - self.recording.last_us

    @property
    def last_us(self) -> int:
        """See :attr:`easnn.events.Recording.last_us`."""
        return 2 * self.about_us - 1 - self.recording.first_us

    def __len__(self) -> int:
        return len(self.recording)

    def window(self, start_us: int, end_us: int) -> np.ndarray:
        """See :meth:`easnn.events.Recording.window`."""
        twice_us = 2 * self.about_us
        return self._reversed(self.recording.window(twice_us - end_us, twice_us - start_us))

    def events(self) -> np.ndarray:
        """See :meth:`easnn.events.Recording.events`."""
        return self._reversed(self.recording.events())

    def _reversed(self, events: np.ndarray) -> np.ndarray:
        played = copied(events[::-1])
        played["t_us"] = 2 * self.about_us - 1 - played["t_us"]
        played["p"] = 1 - played["p"]
        return played
