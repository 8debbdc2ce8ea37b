"""Representations by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np

from easnn.events import EventWindow
from easnn.representations.options import TAU_US, Measure, RepresentationOptions
from easnn.representations.slices import Slicing
from easnn.representations.sums import micro_sum, voxel_cube, window_sum
from easnn.representations.timesurface import timesurface
from easnn.representations.voxel_grid import voxel_grid
from easnn.utils.errors import ConfigError, DataError, did_you_mean


class Representation(Protocol):
    """Turn the events of a window into an array [slices, channels, H, W]; the window is not changed."""

    def __call__(
        self, window: EventWindow, sensor_hw: tuple[int, int], options: RepresentationOptions
    ) -> np.ndarray:
        """Return the array; its slices are the ``Tm`` micro slices, oldest first, or the window as one."""
        ...


REPRESENTATIONS: Mapping[str, Representation] = MappingProxyType(
    {
        "micro_sum": micro_sum,
        "sum": window_sum,
        "voxel_grid": voxel_grid,
        "voxel_cube": voxel_cube,
        "timesurface": timesurface,
    }
)
"""The values of the key ``aggregation`` that are made from events."""

CHANNELS: Mapping[str, int] = MappingProxyType(
    {"micro_sum": 2, "sum": 2, "voxel_grid": 1, "voxel_cube": 4, "timesurface": 2, "event_sum": 2}
)
"""Channels of every value of ``aggregation``; ``event_sum`` belongs to data that was made into histograms."""

ONLY_COUNT: Mapping[str, str] = MappingProxyType(
    {
        "voxel_grid": "weighs events by their time already",
        "timesurface": "weighs events by their time already",
        "event_sum": "sums histograms, in which events have no time",
    }
)
"""Why some values of ``aggregation`` do not take another ``measure`` than ``count``."""


def represent(
    name: str,
    window: EventWindow,
    *,
    sensor_hw: tuple[int, int],
    Tm: int,
    slicing: Slicing = "extent",
    measure: Measure = "count",
    tau_us: int = TAU_US,
) -> np.ndarray:
    """Return ``window`` as the representation called ``name``.

    Args:
        name: a name from :data:`REPRESENTATIONS`.
        window: the events, sorted by time.
        sensor_hw: height H and width W of the sensor in pixels.
        Tm: number of micro slices, at least 1.
        slicing: how the micro slices are cut, see :func:`slice_bounds_us`.
        measure: what an event adds to its pixel, see :class:`RepresentationOptions`.
        tau_us: time in which an event fades to 1/e, for ``timesurface``.

    Returns:
        An array [Tm, C, H, W], with ``sum`` [1, C, H, W]; C is that of :data:`CHANNELS`. Counts are uint8 if
        they fit, else int16, else int32. Other values are float16 if they fit, else float32.

    Raises:
        ConfigError: if there is no such representation, or it does not take the measure.
        DataError: if an event lies outside the sensor.
    """
    if name not in REPRESENTATIONS:
        raise ConfigError(
            f"`aggregation` must be one of {', '.join(REPRESENTATIONS)}, but is {name}."
            + did_you_mean(name, REPRESENTATIONS)
        )
    check_measure(name, measure)
    _check_inside(window.events, sensor_hw)
    return REPRESENTATIONS[name](window, sensor_hw, RepresentationOptions(Tm, slicing, measure, tau_us))


def check_measure(name: str, measure: Measure) -> None:
    """Raise :class:`ConfigError` if the representation called ``name`` does not take ``measure``."""
    if name in ONLY_COUNT and measure != "count":
        raise ConfigError(
            f"`measure` must be count for `aggregation` {name}, which {ONLY_COUNT[name]}, but is {measure}."
        )


def _check_inside(events: np.ndarray, sensor_hw: tuple[int, int]) -> None:
    height, width = sensor_hw
    x, y = events["x"].max(initial=0), events["y"].max(initial=0)
    if x >= width or y >= height:
        raise DataError(
            f"Events must lie inside the sensor, {width}×{height} pixels, but reach x={x}, y={y}. Give the "
            "right sensor size."
        )
