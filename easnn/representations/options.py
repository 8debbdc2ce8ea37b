"""What representations have in common: micro slices, and what an event adds to its pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from easnn.representations.slices import Slicing

Measure = Literal["count", "timesurface"]

TAU_US = 50_000
"""Time in which an event fades to 1/e, for automotive recordings (Gen1)."""


@dataclass(frozen=True)
class RepresentationOptions:
    """How the events of a window become values.

    Attributes:
        Tm: number of micro slices, at least 1.
        slicing: how they are cut, see :func:`~easnn.representations.slices.slice_bounds_us`.
        measure: what an event at time t adds to its pixel: 1 (``count``), or exp((t − t_end)/τ) with the end
            of its slice t_end (``timesurface``).
        tau_us: τ in µs.
    """

    Tm: int
    slicing: Slicing = "extent"
    measure: Measure = "count"
    tau_us: int = TAU_US

    def fade(
        self, t_us: npt.NDArray[np.int64], end_us: npt.NDArray[np.int64] | np.int64 | int
    ) -> npt.NDArray[np.float64]:
        """Return what is left at ``end_us`` of events at ``t_us``, between 0 and 1: exp((t − t_end)/τ)."""
        faded: npt.NDArray[np.float64] = np.exp((t_us - end_us) / self.tau_us)
        return faded
