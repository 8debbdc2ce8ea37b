"""Event counts per pixel and polarity: the input of the adaptive sampling embedding."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from easnn.events import EventWindow
from easnn.representations.slices import Slicing, slice_bounds_us

COUNT_DTYPES = (np.uint8, np.int16, np.int32)


def micro_sum(window: EventWindow, *, sensor_hw: tuple[int, int], Tm: int, slicing: Slicing) -> np.ndarray:
    """Return the counts of each micro slice, oldest first: [Tm, 2, H, W], channel 0 OFF, 1 ON."""
    bounds_us = slice_bounds_us(window, Tm, slicing)
    return _count(window.events, np.searchsorted(window.events["t_us"], bounds_us), sensor_hw)


def window_sum(window: EventWindow, *, sensor_hw: tuple[int, int], Tm: int, slicing: Slicing) -> np.ndarray:
    """Return the counts of the window as one slice: [1, 2, H, W]; ``Tm`` and ``slicing`` do not matter."""
    return _count(window.events, np.array([0, len(window.events)]), sensor_hw)


def _count(events: np.ndarray, bounds: npt.NDArray[np.int64], sensor_hw: tuple[int, int]) -> np.ndarray:
    """Count the events of each slice ``events[bounds[k]:bounds[k + 1]]``, in the smallest type that fits."""
    height, width = sensor_hw
    slices = len(bounds) - 1
    events = events[bounds[0] : bounds[-1]]
    frame = np.repeat(np.arange(slices), np.diff(bounds)) * 2 + events["p"]
    pixel = (frame * height + events["y"]) * width + events["x"]
    counts = np.bincount(pixel, minlength=slices * 2 * height * width)
    dtype = next(dtype for dtype in COUNT_DTYPES if counts.max() <= np.iinfo(dtype).max)
    return counts.astype(dtype).reshape(slices, 2, height, width)
