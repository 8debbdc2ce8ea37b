"""What there is to show of the sampler's work on one sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from easnn.models import SamplerTrace


@dataclass(frozen=True)
class SamplerView:
    """A sample's events, what the sampler did with them step by step, and what came out.

    What the network computed is at its resolution [h,w], cut to the sensor's image.

    Attributes:
        sequence: name of the recording.
        time_us: the moment, at which the events end.
        counts: events per pixel [Tl,Tm,C,H,W] at sensor resolution, or another representation, oldest slice
            first.
        active: the network's pixels in which any event is seen [h,w].
        trace: what happened, on the CPU; its tensors are [...,C,h,w], without the batch axis.
        output: the embedding's output [Ts,C,h,w].
        slice_bounds_us: times between which the slices lie [Tl·Tm+1], oldest first, or None if they are
            unknown.
        aggregation: name of the representation.
    """

    sequence: str
    time_us: int
    counts: npt.NDArray[Any]
    active: npt.NDArray[np.bool_]
    trace: SamplerTrace
    output: npt.NDArray[np.floating[Any]]
    slice_bounds_us: npt.NDArray[np.int64] | None = None
    aggregation: str = "micro_sum"

    @property
    def steps(self) -> int:
        """Number of sampling steps, S = Tl·Tm."""
        return len(self.trace.spikes)

    @property
    def steps_ms(self) -> list[tuple[float, float]] | None:
        """Begin and end of each step's slice, newest first, in ms from the sample's moment."""
        if self.slice_bounds_us is None:
            return None
        bounds_ms = [(int(bound_us) - self.time_us) / 1000 for bound_us in self.slice_bounds_us[::-1]]
        return list(zip(bounds_ms[1:], bounds_ms[:-1], strict=True))
