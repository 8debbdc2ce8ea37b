"""The frame specification: which events form a frame, and how they are represented."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from easnn.config import TAKES_EFFECT, Config, key, refused
from easnn.utils.errors import ConfigError

Aggregation = Literal["micro_sum", "sum", "voxel_grid", "voxel_cube", "timesurface", "event_sum"]
Slicing = Literal["extent", "window"]
Measure = Literal["count", "timesurface"]

CHANNELS: Mapping[Aggregation, int] = MappingProxyType(
    {"micro_sum": 2, "sum": 2, "voxel_grid": 1, "voxel_cube": 4, "timesurface": 2, "event_sum": 2}
)
"""Number of channels of each representation."""

ONLY_COUNT: Mapping[Aggregation, str] = MappingProxyType(
    {
        "voxel_grid": "weighs events by their time already",
        "timesurface": "weighs events by their time already",
        "event_sum": "sums histograms, in which events have no time",
    }
)
"""Why some representations accept no ``measure`` other than ``count``."""

TAU_MS = 50.0
"""Default of ``tau``, for automotive recordings."""


SAME_INPUT = refused("it defines the input of the network, whose weights are trained on")


class FrameKeys(Config):
    """Settings of the frames; experiments inherit them."""

    KEY_GROUP = "Frames"

    window: int = key(
        -200,
        "start of the window relative to the label; 0: the whole recording",
        high=0,
        unit="ms",
        on_resume=TAKES_EFFECT,
        scores=True,
    )
    Tl: int = key(
        1,
        "macro slices of a sample, oldest first: its histograms with `event_sum`, else 1",
        low=1,
        on_resume=SAME_INPUT,
    )
    Tm: int = key(
        4,
        "micro slices of a window, the sampling steps of the embedding",
        low=1,
        high=1000,
        on_resume=SAME_INPUT,
    )
    aggregation: Aggregation = key(
        "micro_sum",
        "event representation (formats.md); `event_sum` is for RVT-preprocessed data only",
        on_resume=SAME_INPUT,
    )
    slicing: Slicing = key(
        "extent",
        "interval divided into micro slices: first to last event (`extent`, as published), or the "
        "whole `window`",
        on_resume=TAKES_EFFECT,
        scores=True,
    )
    measure: Measure = key(
        "count",
        "weight of an event: 1 (`count`), or decaying with its age (`timesurface`)",
        on_resume=SAME_INPUT,
    )
    tau: float | None = key(
        None,
        "time constant of the decay (`timesurface`); `None`: 10 for `n-caltech`, else 50",
        low=0.001,
        unit="ms",
        on_resume=TAKES_EFFECT,
        scores=True,
    )


class FrameSpec(FrameKeys):
    """How the events before a point in time become a frame ``[Tl,Tm,C,H,W]``.

    Raises:
        ConfigError: if the representation does not accept the measure.
    """

    def check(self) -> None:
        """Check that the values fit together.

        Raises:
            ConfigError: if they do not.
        """
        if self.aggregation in ONLY_COUNT and self.measure != "count":
            raise ConfigError(
                f"`measure` must be count for `aggregation` {self.aggregation}, which "
                f"{ONLY_COUNT[self.aggregation]}, but is {self.measure}."
            )

    @property
    def channels(self) -> int:
        """Channels C of a frame."""
        return CHANNELS[self.aggregation]

    @property
    def slices(self) -> tuple[int, int]:
        """Length of the first two axes of a frame: histograms or windows, and micro slices."""
        return self.Tl, 1 if self.aggregation in ("sum", "event_sum") else self.Tm

    @property
    def duration_us(self) -> int:
        """Length of the window in µs; 0 for the whole recording."""
        return -1000 * self.window

    @property
    def tau_us(self) -> int:
        """Time constant of the decay of an event, in µs."""
        return round(1000 * (TAU_MS if self.tau is None else self.tau))

    def check_from_events(self) -> None:
        """Check that frames can be computed from raw recordings.

        Raises:
            ConfigError: if the representation needs RVT's histograms, or ``Tl`` is not 1.
        """
        if self.aggregation == "event_sum":
            raise ConfigError(
                "`aggregation` must be one of "
                f"{', '.join(name for name in CHANNELS if name != 'event_sum')} for raw "
                "recordings, but is event_sum, which sums the histograms of RVT-preprocessed data. "
                "`easnn preprocess` makes them."
            )
        if self.Tl != 1:
            raise ConfigError(
                f"`Tl` must be 1 for raw recordings, but is {self.Tl}. `Tm` sets the slices of "
                "their window."
            )
