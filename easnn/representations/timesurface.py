"""How recently each pixel saw an event (Lagorce et al., TPAMI 2017)."""

from __future__ import annotations

import numpy as np

from easnn.events import EventWindow
from easnn.representations.options import RepresentationOptions
from easnn.representations.slices import slice_bounds_us

NEVER_US = np.iinfo(np.int64).min


def timesurface(
    window: EventWindow, sensor_hw: tuple[int, int], options: RepresentationOptions
) -> np.ndarray:
    """Let the last event of each pixel and polarity fade until the end of each micro slice: [Tm, 2, H, W].

    A value is exp((t_last − t_end)/τ) in float16, where t_last is the last event of the pixel in this or an
    earlier slice of the window, and 0 where no event came yet. Channel 0 is OFF, 1 ON.

    EAS-SNN as published, but for pixels without an event, where an event at time 0 was assumed there.
    """
    bounds_us = slice_bounds_us(window, options.Tm, options.slicing)
    events, (height, width) = window.events, sensor_hw
    edges = np.searchsorted(events["t_us"], bounds_us)
    pixel = (events["p"].astype(np.int64) * height + events["y"]) * width + events["x"]
    last_us = np.full(2 * height * width, NEVER_US)
    surfaces = np.zeros((options.Tm, 2 * height * width), np.float16)
    for surface, first, stop, end_us in zip(surfaces, edges, edges[1:], bounds_us[1:], strict=False):
        last_us[pixel[first:stop]] = events["t_us"][first:stop]  # of several events the last one stays
        seen = np.flatnonzero(last_us != NEVER_US)
        surface[seen] = options.fade(last_us[seen], end_us)
    return surfaces.reshape(options.Tm, 2, height, width)
