"""Event representations: pure functions from the events of a window to [slices, C, H, W].

Arrays use the smallest type that holds their values, because frames are sent between processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from easnn.events import (
    EventWindow,
    Recording,
    ReversedRecording,
    label_window,
    play_at_speed,
)
from easnn.representations.frame_spec import FrameSpec, Slicing
from easnn.utils.errors import DataError

COUNT_DTYPES = (np.uint8, np.int16, np.int32)

MAX_PIXELS = 2**24
"""Of a sensor. Files may declare any size; larger ones are mistakes, and fill the memory."""

CUBE_CHANNELS = np.array([[0, 1], [1, 3]])
"""Channel of ``voxel_cube`` by polarity and half of a slice: (p + 1)·(half + 1) − 1."""

NEVER_US = np.iinfo(np.int64).min

Representation = Callable[[EventWindow, tuple[int, int], FrameSpec], np.ndarray]
"""(window, sensor height and width, settings) → [slices, C, H, W]; the window is not changed."""


def span_us(window: EventWindow, slicing: Slicing) -> tuple[int, int]:
    """Return the bounds in µs of the interval that is divided into micro slices.

    With ``extent`` these are the times of the first and the last event. With ``window``, or without
    events, they are the bounds of the window.
    """
    if slicing == "window" or len(window.events) == 0:
        return window.start_us, window.end_us
    return int(window.events["t_us"][0]), int(window.events["t_us"][-1])


def slice_bounds_us(window: EventWindow, Tm: int, slicing: Slicing) -> npt.NDArray[np.int64]:
    """Return the bounds [Tm + 1] of the micro slices in µs.

    Slice k is ``[bounds[k], bounds[k + 1])``.

    ``extent`` (EAS-SNN as published) divides the time between the first and the last event into Tm
    steps of Δ = (t_last − t_first) // Tm. Events at or after t_first + TmΔ, which include the last
    one, are in no slice. If the first and the last event are less than Tm µs apart, Δ is 0 and
    every slice is empty.

    ``window`` divides the window itself, and every event is in a slice.
    """
    steps = np.arange(Tm + 1)
    first_us, last_us = span_us(window, slicing)
    if slicing == "window":
        return first_us + steps * (last_us - first_us) // Tm
    return first_us + steps * ((last_us - first_us) // Tm)


def events_in_slices(
    window: EventWindow, bounds_us: npt.NDArray[np.int64]
) -> tuple[np.ndarray, npt.NDArray[np.int64]]:
    """Return the events [n] between the first and the last bound, and the slice [n] of each."""
    edges = np.searchsorted(window.events["t_us"], bounds_us)
    return window.events[edges[0] : edges[-1]], np.repeat(
        np.arange(len(bounds_us) - 1), np.diff(edges)
    )


def micro_sum(window: EventWindow, sensor_hw: tuple[int, int], spec: FrameSpec) -> np.ndarray:
    """Sum the events of each micro slice, oldest first: [Tm, 2, H, W], channel 0 OFF, 1 ON."""
    bounds_us = slice_bounds_us(window, spec.Tm, spec.slicing)
    events, number = events_in_slices(window, bounds_us)
    return _sum(
        events, 2 * number + events["p"], bounds_us[number + 1], (spec.Tm, 2, *sensor_hw), spec
    )


def window_sum(window: EventWindow, sensor_hw: tuple[int, int], spec: FrameSpec) -> np.ndarray:
    """Sum all events of the window: [1, 2, H, W]; ``Tm`` and ``slicing`` have no effect."""
    channel = window.events["p"].astype(np.int64)
    return _sum(window.events, channel, window.end_us, (1, 2, *sensor_hw), spec)


def voxel_cube(window: EventWindow, sensor_hw: tuple[int, int], spec: FrameSpec) -> np.ndarray:
    """Sum the events of each half of each micro slice: [Tm, 4, H, W].

    Channel 0 holds the OFF events of the first half and channel 3 the ON events of the second half.
    OFF events of the second half and ON events of the first half share channel 1, and channel 2 is
    empty: this is the published behaviour, which published weights expect. The second half begins
    at t_start + Δ/2.
    """
    bounds_us = slice_bounds_us(window, spec.Tm, spec.slicing)
    events, number = events_in_slices(window, bounds_us)
    start_us, end_us = bounds_us[number], bounds_us[number + 1]
    half = (2 * (events["t_us"] - start_us) >= end_us - start_us).astype(np.int64)
    channel = 4 * number + CUBE_CHANNELS[events["p"], half]
    return _sum(events, channel, end_us, (spec.Tm, 4, *sensor_hw), spec)


def voxel_grid(window: EventWindow, sensor_hw: tuple[int, int], spec: FrameSpec) -> np.ndarray:
    """Split each event between the two nearest time steps: [Tm, 1, H, W] (Zhu et al., CVPR 2019).

    An event of sign s, +1 (ON) or −1 (OFF), at position u = Tm·(t − t_start)/(t_end − t_start) adds
    s·(1 − (u − ⌊u⌋)) to step ⌊u⌋ and s·(u − ⌊u⌋) to the next step; contributions to step Tm are
    dropped. t_start and t_end are those of :func:`span_us`. If all events have the same time, u is
    0.

    As in EAS-SNN, except that the published code turns the sign −1 into 255.
    """
    events, (height, width) = window.events, sensor_hw
    start_us, end_us = span_us(window, spec.slicing)
    position = spec.Tm * (events["t_us"] - start_us) / max(end_us - start_us, 1)
    step = position.astype(np.int64)
    share = position - step
    sign = np.where(events["p"] == 1, 1.0, -1.0)
    pixel = (step * height + events["y"]) * width + events["x"]
    size = spec.Tm * height * width
    values = np.bincount(
        np.concatenate((pixel, pixel + height * width)),
        np.concatenate((sign * (1 - share), sign * share)),
        minlength=size,
    )
    return compact_floats(values[:size]).reshape(spec.Tm, 1, height, width)


def timesurface(window: EventWindow, sensor_hw: tuple[int, int], spec: FrameSpec) -> np.ndarray:
    """Compute how recent the last event of each pixel is, per micro slice: [Tm, 2, H, W].

    A value is exp((t_last − t_end)/τ) in float16, where t_end is the end of the slice and t_last
    the time of the last event of the pixel and polarity in this or an earlier slice of the window,
    and 0 before the first event (Lagorce et al., TPAMI 2017). Channel 0 is OFF, 1 ON.

    As in EAS-SNN, except for pixels without an event, for which the published code assumes one at
    time 0.
    """
    bounds_us = slice_bounds_us(window, spec.Tm, spec.slicing)
    events, (height, width) = window.events, sensor_hw
    edges = np.searchsorted(events["t_us"], bounds_us)
    pixel = (events["p"].astype(np.int64) * height + events["y"]) * width + events["x"]
    last_us = np.full(2 * height * width, NEVER_US)
    surfaces = np.zeros((spec.Tm, 2 * height * width), np.float16)
    for surface, first, stop, end_us in zip(
        surfaces, edges, edges[1:], bounds_us[1:], strict=False
    ):
        # Where a pixel has several events, the last assignment wins.
        last_us[pixel[first:stop]] = events["t_us"][first:stop]
        seen = np.flatnonzero(last_us != NEVER_US)
        surface[seen] = np.exp((last_us[seen] - end_us) / spec.tau_us)
    return surfaces.reshape(spec.Tm, 2, height, width)


REPRESENTATIONS: Mapping[str, Representation] = MappingProxyType(
    {
        "micro_sum": micro_sum,
        "sum": window_sum,
        "voxel_grid": voxel_grid,
        "voxel_cube": voxel_cube,
        "timesurface": timesurface,
    }
)
"""The values of the key ``aggregation`` that are computed from events."""


def check_sensor_size(sensor_hw: tuple[int, int]) -> None:
    """Check that a frame of this height and width in pixels may be allocated.

    Raises:
        DataError: if it has more than MAX_PIXELS.
    """
    height, width = sensor_hw
    if height * width > MAX_PIXELS:
        raise DataError(
            f"A sensor must have at most {MAX_PIXELS:,} pixels, but one of {width}×{height} was "
            "given, or declared by a recording or `dataset.json`. Give the right sensor size."
        )


def represent(spec: FrameSpec, window: EventWindow, sensor_hw: tuple[int, int]) -> np.ndarray:
    """Return the representation ``[slices, C, H, W]`` of the events of a window.

    Counts are uint8 if they fit, else int16, else int32; other values float16 if they fit, else
    float32.

    Args:
        spec: the representation and its settings.
        window: the events, sorted by time.
        sensor_hw: height H and width W of the sensor in pixels.

    Raises:
        DataError: if an event lies outside the sensor, or the sensor has more than MAX_PIXELS.
    """
    check_sensor_size(sensor_hw)
    height, width = sensor_hw
    x, y = window.events["x"].max(initial=0), window.events["y"].max(initial=0)
    if x >= width or y >= height:
        raise DataError(
            f"Events must lie inside the sensor, {width}×{height} pixels, but reach x={x}, y={y}. "
            "Give the right sensor size."
        )
    return REPRESENTATIONS[spec.aggregation](window, sensor_hw, spec)


def make_frame(
    spec: FrameSpec,
    recording: Recording,
    time_us: int,
    sensor_hw: tuple[int, int],
    speed: float = 1.0,
) -> Tensor:
    """Return the frame ``[1,Tm,C,H,W]`` of the events before ``time_us``.

    Args:
        spec: which events, and how they are represented.
        recording: the events.
        time_us: end of the window.
        sensor_hw: height and width of the sensor in pixels.
        speed: playback speed: the window covers ``speed`` times its length in the recording. If it
            is negative, the recording is played backwards, and the window shows what happens after
            ``time_us``. It must be ±1 if the window is the whole recording.

    Raises:
        DataError: if the recording cannot be read.
    """
    if speed < 0:
        recording = ReversedRecording(recording, time_us)
    window = _window(spec, recording, time_us, abs(speed))
    if abs(speed) != 1:
        window = play_at_speed(window, spec.duration_us)
    return torch.from_numpy(represent(spec, window, sensor_hw))[None]


def frame_bounds_us(
    spec: FrameSpec, recording: Recording, time_us: int
) -> npt.NDArray[np.int64] | None:
    """Return the bounds ``[slices + 1]`` of the slices of a frame in µs, oldest first.

    Slice k holds the events in ``[bounds[k], bounds[k + 1])``. None for a voxel grid, whose slices
    share events. The arguments are those of :func:`make_frame`.

    Raises:
        DataError: if the recording cannot be read.
    """
    if spec.aggregation == "voxel_grid":
        return None
    window = _window(spec, recording, time_us)
    if spec.aggregation == "sum":
        return np.array([window.start_us, window.end_us])
    return slice_bounds_us(window, spec.Tm, spec.slicing)


def _window(spec: FrameSpec, recording: Recording, time_us: int, speed: float = 1.0) -> EventWindow:
    duration_us = round(speed * spec.duration_us)
    return label_window(recording, time_us, duration_us, max_steps_back=spec.Tl + 1)


def compact_integers(counts: npt.NDArray[np.int64]) -> np.ndarray:
    """Return counts, at least 0, as uint8 if they fit, else int16, else int32."""
    dtype = next(dtype for dtype in COUNT_DTYPES if counts.max() <= np.iinfo(dtype).max)
    return counts.astype(dtype)


def compact_floats(values: npt.NDArray[Any]) -> np.ndarray:
    """Return floating-point values as float16 if they fit, else float32.

    float16 has 11 significant bits. The rounding error is at most 1/2048 of a value, less than what
    resizing changes, and at most 3·10⁻⁸ for values below 6·10⁻⁵.
    """
    fits = max(values.max(), -values.min()) <= np.finfo(np.float16).max
    return values.astype(np.float16 if fits else np.float32)


def _sum(
    events: np.ndarray,
    channel: npt.NDArray[np.int64],
    end_us: npt.NDArray[np.int64] | int,
    shape: tuple[int, int, int, int],
    spec: FrameSpec,
) -> np.ndarray:
    """Sum the weights (``measure``) of the events of each pixel, in the smallest type that fits.

    Args:
        events: the events [n].
        channel: index [n] of each event's slice and channel in the first two axes of the result,
            flattened.
        end_us: end of each event's slice.
        shape: slices, channels, H, W.
        spec: gives ``measure`` and τ.
    """
    *_, height, width = shape
    pixel = (channel * height + events["y"]) * width + events["x"]
    if spec.measure == "count":
        return compact_integers(np.bincount(pixel, minlength=math.prod(shape))).reshape(shape)
    decayed = np.exp((events["t_us"] - end_us) / spec.tau_us)
    return compact_floats(np.bincount(pixel, decayed, minlength=math.prod(shape))).reshape(shape)
