"""Representations by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np

from easnn.events import EventWindow
from easnn.representations.counts import micro_sum, window_sum
from easnn.representations.slices import Slicing
from easnn.utils.errors import ConfigError, DataError, did_you_mean


class Representation(Protocol):
    """Turn the events of a window into an array [slices, channels, H, W]; the window is not changed."""

    def __call__(
        self, window: EventWindow, *, sensor_hw: tuple[int, int], Tm: int, slicing: Slicing
    ) -> np.ndarray:
        """Return the array; its slices are the ``Tm`` micro slices, oldest first, or the window as one."""
        ...


REPRESENTATIONS: Mapping[str, Representation] = MappingProxyType({"micro_sum": micro_sum, "sum": window_sum})
"""The values of the key ``aggregation``."""


def represent(
    name: str, window: EventWindow, *, sensor_hw: tuple[int, int], Tm: int, slicing: Slicing = "extent"
) -> np.ndarray:
    """Return ``window`` as the representation called ``name``.

    Args:
        name: a name from :data:`REPRESENTATIONS`.
        window: the events, sorted by time.
        sensor_hw: height H and width W of the sensor in pixels.
        Tm: number of micro slices, at least 1.
        slicing: how the micro slices are cut, see :func:`slice_bounds_us`.

    Returns:
        Counts [Tm, 2, H, W] (``micro_sum``) or [1, 2, H, W] (``sum``): uint8 if they fit, else int16, else
        int32.

    Raises:
        ConfigError: if there is no such representation.
        DataError: if an event lies outside the sensor.
    """
    if name not in REPRESENTATIONS:
        raise ConfigError(
            f"`aggregation` must be one of {', '.join(REPRESENTATIONS)}, but is {name}."
            + did_you_mean(name, REPRESENTATIONS)
        )
    _check_inside(window.events, sensor_hw)
    return REPRESENTATIONS[name](window, sensor_hw=sensor_hw, Tm=Tm, slicing=slicing)


def _check_inside(events: np.ndarray, sensor_hw: tuple[int, int]) -> None:
    height, width = sensor_hw
    x, y = events["x"].max(initial=0), events["y"].max(initial=0)
    if x >= width or y >= height:
        raise DataError(
            f"Events must lie inside the sensor, {width}×{height} pixels, but reach x={x}, y={y}. Give the "
            "right sensor size."
        )
