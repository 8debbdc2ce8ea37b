"""From a recording to one frame, labelled or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from easnn.events import EventWindow, Recording, label_window, play_at_speed
from easnn.representations import (
    REPRESENTATIONS,
    TAU_US,
    Measure,
    Slicing,
    check_measure,
    represent,
    slice_bounds_us,
)
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
        measure: what an event adds to its pixel.
        tau_us: time in which an event fades to 1/e, where the representation has it fade.

    Raises:
        ConfigError: if the window begins after its end, ``Tl`` is not 1, or the representation is not made
            from events or does not take the measure.
    """

    window_ms: int
    Tl: int
    Tm: int
    aggregation: str
    slicing: Slicing = "extent"
    measure: Measure = "count"
    tau_us: int = TAU_US

    def __post_init__(self) -> None:
        if self.aggregation == "event_sum":
            raise ConfigError(
                "`aggregation` must be made from events for recordings of events: one of "
                f"{', '.join(REPRESENTATIONS)}, but is event_sum, which sums the histograms of "
                "RVT-preprocessed data. `python tools/preprocess.py` makes them."
            )
        if self.window_ms > 0:
            raise ConfigError(
                "`window` must be negative (ms before the label) or 0 (the whole recording), but is "
                f"{self.window_ms}."
            )
        if self.Tl != 1:
            raise ConfigError(
                f"`Tl` must be 1 for raw recordings, but is {self.Tl}. `Tm` sets the slices of their window."
            )
        check_measure(self.aggregation, self.measure)

    def frame(
        self, recording: Recording, time_us: int, sensor_hw: tuple[int, int], speed: float = 1.0
    ) -> Tensor:
        """Return the frame at ``time_us``: ``[Tl,Tm,C,H,W]``, zero where the sensor was silent.

        Args:
            recording: where the events come from.
            time_us: the moment, at which the events end.
            sensor_hw: height and width of the sensor.
            speed: how many times as fast as it happened the recording is played: the window holds what
                happened within ``speed`` times its length. 1 where it is the whole recording.

        Raises:
            DataError: if the recording cannot be read.
        """
        window = self._window(recording, time_us, speed)
        values = represent(
            self.aggregation,
            window if speed == 1 else play_at_speed(window, self._duration_us),
            sensor_hw=sensor_hw,
            Tm=self.Tm,
            slicing=self.slicing,
            measure=self.measure,
            tau_us=self.tau_us,
        )
        return torch.from_numpy(values)[None]

    def slice_bounds_us(self, recording: Recording, time_us: int) -> npt.NDArray[np.int64] | None:
        """Return the times between which the slices of the frame at ``time_us`` lie, oldest first.

        Slice k holds what happened from ``bounds[k]`` on and before ``bounds[k + 1]``. ``None`` from a voxel
        grid, whose slices share events.

        Raises:
            DataError: if the recording cannot be read.
        """
        if self.aggregation == "voxel_grid":
            return None
        window = self._window(recording, time_us)
        if self.aggregation == "sum":
            return np.array([window.start_us, window.end_us])
        return slice_bounds_us(window, self.Tm, self.slicing)

    @property
    def _duration_us(self) -> int:
        return -1000 * self.window_ms

    def _window(self, recording: Recording, time_us: int, speed: float = 1.0) -> EventWindow:
        duration_us = round(speed * self._duration_us)
        return label_window(recording, time_us, duration_us, max_steps_back=self.Tl + 1)
