"""Sums over events per pixel: the input of the adaptive sampling embedding."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from easnn.events import EventWindow
from easnn.representations.compact import compact_floats, compact_integers
from easnn.representations.options import RepresentationOptions
from easnn.representations.slices import events_in_slices, slice_bounds_us

CUBE_CHANNELS = np.array([[0, 1], [1, 3]])
"""Channel of ``voxel_cube`` by polarity and half of the slice: (p + 1)·(half + 1) − 1, as published."""


def micro_sum(window: EventWindow, sensor_hw: tuple[int, int], options: RepresentationOptions) -> np.ndarray:
    """Sum the events of each micro slice, oldest first: [Tm, 2, H, W], channel 0 OFF, 1 ON."""
    bounds_us = slice_bounds_us(window, options.Tm, options.slicing)
    events, number = events_in_slices(window, bounds_us)
    return _sum(events, 2 * number + events["p"], bounds_us[number + 1], (options.Tm, 2, *sensor_hw), options)


def window_sum(window: EventWindow, sensor_hw: tuple[int, int], options: RepresentationOptions) -> np.ndarray:
    """Sum the events of the window as one slice: [1, 2, H, W]; ``Tm`` and ``slicing`` do not matter."""
    channel = window.events["p"].astype(np.int64)
    return _sum(window.events, channel, window.end_us, (1, 2, *sensor_hw), options)


def voxel_cube(window: EventWindow, sensor_hw: tuple[int, int], options: RepresentationOptions) -> np.ndarray:
    """Sum the events of each half of each micro slice: [Tm, 4, H, W].

    Channel 0 holds the OFF events of the first half and channel 3 the ON events of the second half. OFF
    events of the second half and ON events of the first half share channel 1, and channel 2 is empty: so it
    was published, and published weights expect it. An event is in the second half from t_start + Δ/2 on.
    """
    bounds_us = slice_bounds_us(window, options.Tm, options.slicing)
    events, number = events_in_slices(window, bounds_us)
    start_us, end_us = bounds_us[number], bounds_us[number + 1]
    half = (2 * (events["t_us"] - start_us) >= end_us - start_us).astype(np.int64)
    frame = 4 * number + CUBE_CHANNELS[events["p"], half]
    return _sum(events, frame, end_us, (options.Tm, 4, *sensor_hw), options)


def _sum(
    events: np.ndarray,
    frame: npt.NDArray[np.int64],
    end_us: npt.NDArray[np.int64] | int,
    shape: tuple[int, int, int, int],
    options: RepresentationOptions,
) -> np.ndarray:
    """Sum what each event measures in its pixel of its frame, in the smallest type that fits.

    Args:
        events: the events [n].
        frame: number of slice and channel [n] in the flattened first two axes of the result.
        end_us: end of each event's slice.
        shape: slices, channels, H, W.
        options: what an event adds.
    """
    *_, height, width = shape
    pixel = (frame * height + events["y"]) * width + events["x"]
    if options.measure == "count":
        return compact_integers(np.bincount(pixel, minlength=math.prod(shape))).reshape(shape)
    faded = options.fade(events["t_us"], end_us)
    return compact_floats(np.bincount(pixel, faded, minlength=math.prod(shape))).reshape(shape)
