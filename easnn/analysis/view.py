"""What there is to show of one sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from easnn.representations import Measure


@dataclass(frozen=True)
class SampleView:
    """The events before a moment and what the detector made of them; boxes in sensor pixels.

    Attributes:
        sequence: name of the recording.
        time_us: the moment, at which the events end.
        counts: events per pixel [..., C, H, W] at sensor resolution, or another representation of them; the
            leading axes are slices.
        written: what the sampler wrote, cut to the sensor's image, at the network's resolution [Ts,C,h,w].
        ground_truth: boxes [N,5] (class, x, y, w, h), or None where nobody labelled this moment.
        detections: boxes [M,6] (class, score, x, y, w, h).
        aggregation: name of the representation.
        measure: what an event added to its pixel.
    """

    sequence: str
    time_us: int
    counts: npt.NDArray[Any]
    written: npt.NDArray[np.floating[Any]]
    ground_truth: npt.NDArray[Any] | None
    detections: npt.NDArray[Any]
    aggregation: str = "micro_sum"
    measure: Measure = "count"

    @property
    def sensor_hw(self) -> tuple[int, int]:
        """Height and width of the sensor."""
        height, width = self.counts.shape[-2:]
        return height, width
