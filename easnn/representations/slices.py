"""Micro slices: how a window is cut into the sampling steps of the embedding."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from easnn.events import EventWindow

Slicing = Literal["extent", "window"]


def span_us(window: EventWindow, slicing: Slicing) -> tuple[int, int]:
    """Return the two times in µs between which the micro slices lie.

    They are those of the first and the last event (``extent``), or those of the window (``window``, and where
    there is no event).
    """
    if slicing == "window" or len(window.events) == 0:
        return window.start_us, window.end_us
    return int(window.events["t_us"][0]), int(window.events["t_us"][-1])


def slice_bounds_us(window: EventWindow, Tm: int, slicing: Slicing) -> npt.NDArray[np.int64]:
    """Return the Tm + 1 bounds of the micro slices in µs: slice k is ``[bounds[k], bounds[k + 1])``.

    ``extent`` (EAS-SNN as published) divides the time between the first and the last event into Tm steps of
    Δ = (t_last − t_first) // Tm. What lies beyond t_first + TmΔ, the last event at least, is in no slice. If
    the two are less than Tm µs apart, Δ is 0 and every slice is empty.

    ``window`` divides the window itself, to the µs, and leaves out nothing.
    """
    steps = np.arange(Tm + 1)
    first_us, last_us = span_us(window, slicing)
    if slicing == "window":
        return first_us + steps * (last_us - first_us) // Tm
    return first_us + steps * ((last_us - first_us) // Tm)


def events_in_slices(
    window: EventWindow, bounds_us: npt.NDArray[np.int64]
) -> tuple[np.ndarray, npt.NDArray[np.int64]]:
    """Return the events [n] between the first and the last bound, and the slice [n] that each is in."""
    edges = np.searchsorted(window.events["t_us"], bounds_us)
    return window.events[edges[0] : edges[-1]], np.repeat(np.arange(len(bounds_us) - 1), np.diff(edges))
