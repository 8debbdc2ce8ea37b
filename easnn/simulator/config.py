"""Parameters of the simulated camera, recordings and datasets."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from easnn.utils.errors import ConfigError, did_you_mean

LABEL_PERIOD_US = 250_000
SMALLEST_SENSOR_PX = 32
LARGEST_SENSOR_PX = 2**14  # limit of the DAT format
LONGEST_S = 600
SCENARIO_NAMES = ("street", "crossing")
DEFAULT_SCENARIO = SCENARIO_NAMES[0]


@dataclass(frozen=True)
class CameraConfig:
    """Parameters of the pixels of an event camera.

    Attributes:
        threshold: contrast threshold: change of the natural logarithm of the intensity that
            triggers an event; 0.15 is a contrast of 16 %.
        mismatch: standard deviation of the thresholds over the pixels, independent for ON and OFF.
        refractory_us: refractory period of a pixel after an event.
        noise_hz: background activity: noise events per pixel and second.
        hot_fraction: fraction of hot pixels, which have ``hot_hz`` noise events per second instead.
        hot_hz: noise events per second of a hot pixel.
    """

    threshold: float = 0.15
    mismatch: float = 0.03
    refractory_us: int = 500
    noise_hz: float = 0.1
    hot_fraction: float = 0.0
    hot_hz: float = 50.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: if one of them is out of range.
        """
        if not 0 < self.threshold < math.inf:
            raise ConfigError(f"`threshold` must be above 0, but is {self.threshold}.")
        for name in ("mismatch", "refractory_us", "noise_hz", "hot_hz"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"`{name}` must be 0 or above, but is {getattr(self, name)}.")
        if not 0 <= self.hot_fraction <= 1:
            raise ConfigError(f"`hot_fraction` must be from 0 to 1, but is {self.hot_fraction}.")


@dataclass(frozen=True)
class RecordingConfig:
    """Parameters of a simulated recording.

    Attributes:
        sensor_hw: height and width of the sensor in pixels.
        duration_s: length of a recording.
        frames_per_second: rendered frames, between which the camera interpolates; the fastest
            objects move by 1.2 sensor heights per second.
        camera: parameters of the pixels.
        scenario: what happens: ``street`` or ``crossing``; see :mod:`easnn.simulator.scenario`.
    """

    sensor_hw: tuple[int, int] = (240, 304)
    duration_s: float = 5.0
    frames_per_second: int = 200
    camera: CameraConfig = field(default_factory=CameraConfig)
    scenario: str = DEFAULT_SCENARIO

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: if one of them is out of range.
        """
        if not all(SMALLEST_SENSOR_PX <= side <= LARGEST_SENSOR_PX for side in self.sensor_hw):
            raise ConfigError(
                f"`sensor_hw` must be {SMALLEST_SENSOR_PX} to {LARGEST_SENSOR_PX} pixels each way, "
                f"but is {self.sensor_hw}."
            )
        if not LABEL_PERIOD_US / 1e6 <= self.duration_s <= LONGEST_S:
            raise ConfigError(
                f"`duration_s` must be from {LABEL_PERIOD_US / 1e6} (the first label) to "
                f"{LONGEST_S}, but is {self.duration_s}."
            )
        if not 1 <= self.frames_per_second <= 10_000:
            raise ConfigError(
                f"`frames_per_second` must be from 1 to 10000, but is {self.frames_per_second}."
            )
        if self.scenario not in SCENARIO_NAMES:
            raise ConfigError(
                f"`scenario` must be one of {', '.join(SCENARIO_NAMES)}, but is {self.scenario}."
                f"{did_you_mean(self.scenario, SCENARIO_NAMES)}"
            )


@dataclass(frozen=True)
class DatasetConfig:
    """Parameters of a synthetic dataset.

    Attributes:
        train: number of training recordings.
        val: number of validation recordings.
        test: number of test recordings.
        seed: each recording is a pure function of the seed, the split and its number.
        recording: parameters of each recording.
    """

    train: int = 40
    val: int = 6
    test: int = 8
    seed: int = 0
    recording: RecordingConfig = field(default_factory=RecordingConfig)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: if there are no recordings to simulate, or a number is negative.
        """
        for split, count in self.splits.items():
            if count < 0:
                raise ConfigError(f"`{split}` must not be negative, but is {count}.")
        if not any(self.splits.values()):
            raise ConfigError("`train`, `val` and `test` are all 0: there is nothing to make.")

    @property
    def splits(self) -> dict[str, int]:
        """The number of recordings of each split."""
        return {"train": self.train, "val": self.val, "test": self.test}
