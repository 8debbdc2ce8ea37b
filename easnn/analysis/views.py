"""The data of one sample that pictures show: its frame, the network's output, boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from easnn.inference import Observation
from easnn.models import SamplerTrace
from easnn.representations import FrameSpec

MAX_DETECTIONS = 100
"""Maximum number of detections in a picture; more would hide the events."""


@dataclass(frozen=True)
class SampleView:
    """The events before a point in time and the detector's output; boxes in pixels of the frame.

    Attributes:
        sequence: name of the recording.
        time_us: end of the events.
        counts: events per pixel [..., C, H, W] at sensor resolution, or another representation; the
            leading axes are slices.
        written: output of the embedding, cropped to the sensor's image, at the network's resolution
            [Ts,C,h,w].
        ground_truth: boxes [N,5] (class, x, y, w, h), or None without labels at this time.
        detections: boxes [M,6] (class, score, x, y, w, h), best score first.
        spec: how the frame was made.
    """

    sequence: str
    time_us: int
    counts: npt.NDArray[Any]
    written: npt.NDArray[np.floating[Any]]
    ground_truth: npt.NDArray[Any] | None
    detections: npt.NDArray[Any]
    spec: FrameSpec = FrameSpec()  # noqa: RUF009 - frozen

    @classmethod
    def of(
        cls,
        seen: Observation,
        spec: FrameSpec,
        sequence: str,
        time_us: int,
        ground_truth: npt.NDArray[Any] | None,
    ) -> SampleView:
        """Return the view of an observation; the other arguments are the attributes."""
        return cls(
            sequence,
            time_us,
            seen.frame.numpy(),
            seen.written.numpy(),
            ground_truth,
            seen.detections[:MAX_DETECTIONS].numpy(),
            spec,
        )

    @property
    def sensor_hw(self) -> tuple[int, int]:
        """Height and width of the sensor."""
        height, width = self.counts.shape[-2:]
        return height, width


@dataclass(frozen=True)
class SamplerView:
    """A sample's events, the steps of the sampler, and its output.

    Everything computed by the network has its resolution [h,w], cropped to the sensor's image.

    Attributes:
        sequence: name of the recording.
        time_us: end of the events.
        counts: events per pixel [Tl,Tm,C,H,W] at sensor resolution, or another representation,
            oldest slice first.
        active: pixels of the network's input with an event [h,w].
        trace: the sampler's trace on the CPU, with tensors [...,C,h,w] without the batch axis.
        output: the embedding's output [Ts,C,h,w].
        slice_bounds_us: bounds of the slices [Tl·Tm+1], oldest first, or None if unknown.
        spec: how the frame was made.
    """

    sequence: str
    time_us: int
    counts: npt.NDArray[Any]
    active: npt.NDArray[np.bool_]
    trace: SamplerTrace
    output: npt.NDArray[np.floating[Any]]
    slice_bounds_us: npt.NDArray[np.int64] | None = None
    spec: FrameSpec = FrameSpec()  # noqa: RUF009 - frozen

    @classmethod
    def of(
        cls,
        seen: Observation,
        spec: FrameSpec,
        sequence: str,
        time_us: int,
        slice_bounds_us: npt.NDArray[np.int64] | None,
    ) -> SamplerView | None:
        """Return the view of an observation with a trace, or None without one (``count``)."""
        if seen.trace is None:
            return None
        return cls(
            sequence,
            time_us,
            seen.frame.numpy(),
            seen.active.numpy(),
            seen.trace,
            seen.written.numpy(),
            slice_bounds_us,
            spec,
        )

    @property
    def steps(self) -> int:
        """Number of sampling steps, S = Tl·Tm."""
        return len(self.trace.spikes)

    @property
    def steps_ms(self) -> list[tuple[float, float]] | None:
        """Start and end of each step's slice, newest first, in ms relative to ``time_us``."""
        if self.slice_bounds_us is None:
            return None
        bounds_ms = [
            (int(bound_us) - self.time_us) / 1000 for bound_us in self.slice_bounds_us[::-1]
        ]
        return list(zip(bounds_ms[1:], bounds_ms[:-1], strict=True))
