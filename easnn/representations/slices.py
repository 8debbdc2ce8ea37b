"""Micro slices: how a window is cut into the sampling steps of the embedding."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from easnn.events import EventWindow

Slicing = Literal["extent", "window"]


def slice_bounds_us(window: EventWindow, Tm: int, slicing: Slicing) -> npt.NDArray[np.int64]:
    """Return the Tm + 1 bounds of the micro slices in µs: slice k is ``[bounds[k], bounds[k + 1])``.

    ``extent`` (EAS-SNN as published) divides the time between the first and the last event into Tm steps of
    Δ = (t_last − t_first) // Tm. What lies beyond t_first + TmΔ, the last event at least, is in no slice. If
    the two are less than Tm µs apart, Δ is 0 and every slice is empty.

    ``window`` divides the window itself, to the µs, and leaves out nothing.
    """
    steps = np.arange(Tm + 1)
    if slicing == "window" or len(window.events) == 0:
        return window.start_us + steps * (window.end_us - window.start_us) // Tm
    first_us, last_us = int(window.events["t_us"][0]), int(window.events["t_us"][-1])
    return first_us + steps * ((last_us - first_us) // Tm)
