"""Events outside of the sensor: an error, or dropped where the user asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from loguru import logger

from easnn.events import native_calls
from easnn.events.checks import check_inside, row_values
from easnn.utils.errors import DataError

ADVICE = (
    " If only single events of the file are wrong, drop them with `drop_invalid` (a key, and an "
    "argument in Python) or --drop-invalid."
)

MAX_SHARE = 0.01
ALWAYS_DROPPED = 100
"""More than this number and more than MAX_SHARE of the events that are read are no single events:
the size of the sensor is wrong, or the file is."""


class Outside:
    """What a recording does about its events outside of the sensor.

    Args:
        path: the file.
        sensor_hw: height and width of the sensor in pixels; None if they are not known.
        drop: whether to drop such events rather than raise an error. If the size of the sensor is
            not known, reading is an error then; without it, nothing is checked.
    """

    def __init__(self, path: Path, sensor_hw: tuple[int, int] | None, *, drop: bool) -> None:
        self.drop = drop
        self._path = path
        self._sensor_hw = sensor_hw
        self._told = False

    def check(self, events: np.ndarray, *, first: int) -> None:
        """Check a part of the events that are read, unless they are dropped.

        Args:
            events: the events (EVENT_DTYPE).
            first: number of the first of them in the file.

        Raises:
            DataError: naming the first event that lies outside.
        """
        if not self.drop:
            check_inside(events, self._sensor_hw, self._path, first=first, advice=ADVICE)

    def kept(self, events: np.ndarray, *, first: int) -> np.ndarray:
        """Return the events that are not dropped, ``events`` itself if that is all of them.

        A warning tells the first time that events are dropped.

        Args:
            events: all events that are read (EVENT_DTYPE).
            first: number of the first of them in the file.

        Raises:
            DataError: if the size of the sensor is not known, or too many events lie outside.
        """
        if not self.drop:
            return events
        outside = self._outside(events)
        count = int(np.count_nonzero(outside))
        if count == 0:
            return events
        if count > max(ALWAYS_DROPPED, MAX_SHARE * len(events)):
            raise DataError(
                f"{count} of {len(events)} events of {self._path} lie outside of the sensor, "
                f"{self._size()} pixels. `drop_invalid` is for single events: check the size of "
                "the sensor."
            )
        index = int(outside.argmax())
        if not self._told:
            self._told = True
            logger.warning(
                "Event {} of {} lies outside of the sensor, {} pixels: {}. Such events are dropped "
                "(`drop_invalid`).",
                first + index,
                self._path,
                self._size(),
                row_values(events, index),
            )
        kept: np.ndarray = events[~outside]
        return kept

    def count(self, pieces: Iterable[np.ndarray]) -> int:
        """Return how many events are dropped in all pieces of a file; 0 if none are to be.

        Raises:
            DataError: if the size of the sensor is not known.
        """
        return sum(int(np.count_nonzero(self._outside(p))) for p in pieces) if self.drop else 0

    def _outside(self, events: np.ndarray) -> npt.NDArray[np.bool_]:
        """Return which events lie outside."""
        if self._sensor_hw is None:
            raise DataError(
                f"`drop_invalid` needs the size of the sensor, which {self._path} does not "
                "specify. Give it with --sensor-size HxW (`sensor_hw` in Python)."
            )
        library = native_calls.library()
        if (
            library is not None
            and native_calls.is_packed(events)
            and native_calls.are_inside(library, events, self._sensor_hw)
        ):
            return np.zeros(len(events), bool)
        height, width = self._sensor_hw
        outside: npt.NDArray[np.bool_] = (events["x"] >= width) | (events["y"] >= height)
        return outside

    def _size(self) -> str:
        assert self._sensor_hw is not None
        return f"{self._sensor_hw[1]}×{self._sensor_hw[0]}"
