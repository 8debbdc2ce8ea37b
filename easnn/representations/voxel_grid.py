"""Signed events shared between two steps in time (Zhu et al., CVPR 2019, in the variant of EAS-SNN)."""

from __future__ import annotations

import numpy as np

from easnn.events import EventWindow
from easnn.representations.compact import compact_floats
from easnn.representations.options import RepresentationOptions
from easnn.representations.slices import span_us


def voxel_grid(window: EventWindow, sensor_hw: tuple[int, int], options: RepresentationOptions) -> np.ndarray:
    """Share each event between the two steps next to it: [Tm, 1, H, W].

    An event of sign s, +1 (ON) or −1 (OFF), at position u = Tm·(t − t_start)/(t_end − t_start) adds
    s·(1 − (u − ⌊u⌋)) to step ⌊u⌋ and s·(u − ⌊u⌋) to the step after it; what falls on step Tm is left out.
    The two times are those that the micro slices lie between. If all events have one time, u is 0.

    EAS-SNN as published, but for the sign, which turned −1 into 255 there.
    """
    events, (height, width) = window.events, sensor_hw
    start_us, end_us = span_us(window, options.slicing)
    position = options.Tm * (events["t_us"] - start_us) / max(end_us - start_us, 1)
    step = position.astype(np.int64)
    share = position - step
    sign = np.where(events["p"] == 1, 1.0, -1.0)
    pixel = (step * height + events["y"]) * width + events["x"]
    size = options.Tm * height * width
    values = np.bincount(
        np.concatenate((pixel, pixel + height * width)),
        np.concatenate((sign * (1 - share), sign * share)),
        minlength=size,
    )
    return compact_floats(values[:size]).reshape(options.Tm, 1, height, width)
