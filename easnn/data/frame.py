"""From a recording to one frame of event counts, labelled or not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from easnn.events import Recording, label_window
from easnn.representations import Slicing, represent
from easnn.utils.errors import ConfigError


@dataclass(frozen=True)
class FrameSpec:
    """Which events before a moment make its frame, and how.

    Attributes:
        window_ms: where the window begins, in ms from that moment, at which it ends: negative, or 0 for the
            whole recording.
        Tl: macro slices; always 1, since a raw recording gives a single window.
        Tm: micro slices of the window.
        aggregation: name of the representation.
        slicing: how the micro slices are cut.

    Raises:
        ConfigError: if the window begins after its end, or ``Tl`` is not 1.
    """

    window_ms: int
    Tl: int
    Tm: int
    aggregation: str
    slicing: Slicing = "extent"

    def __post_init__(self) -> None:
        if self.window_ms > 0:
            raise ConfigError(
                "`window` must be negative (ms before the label) or 0 (the whole recording), but is "
                f"{self.window_ms}."
            )
        if self.Tl != 1:
            raise ConfigError(
                f"`Tl` must be 1 for raw recordings, but is {self.Tl}. `Tm` sets the slices of their window."
            )

    def frame(self, recording: Recording, time_us: int, sensor_hw: tuple[int, int]) -> Tensor:
        """Return the frame at ``time_us``: ``[Tl,Tm,C,H,W]`` counts, zero where the sensor was silent.

        Raises:
            DataError: if the recording cannot be read.
        """
        window = label_window(recording, time_us, -1000 * self.window_ms, max_steps_back=self.Tl + 1)
        counts = represent(self.aggregation, window, sensor_hw=sensor_hw, Tm=self.Tm, slicing=self.slicing)
        return torch.from_numpy(counts)[None]
