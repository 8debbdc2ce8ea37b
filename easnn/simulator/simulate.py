"""Simulation of one recording: a scene, recorded by an event camera."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from easnn.simulator.event_camera import CameraConfig, EventCamera
from easnn.simulator.scene import Scene
from easnn.utils.errors import ConfigError
from easnn.utils.seeding import generator

LABEL_PERIOD_US = 250_000
SMALLEST_SENSOR_PX = 32
LARGEST_SENSOR_PX = 2**14  # limit of the DAT format
LONGEST_S = 600


@dataclass(frozen=True)
class RecordingConfig:
    """Parameters of a simulated recording.

    Attributes:
        sensor_hw: height and width of the sensor in pixels.
        duration_s: length of a recording.
        frames_per_second: rendered frames, between which the camera interpolates; the fastest
            objects move by 1.2 sensor heights per second.
        camera: parameters of the pixels.
    """

    sensor_hw: tuple[int, int] = (240, 304)
    duration_s: float = 5.0
    frames_per_second: int = 200
    camera: CameraConfig = field(default_factory=CameraConfig)

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


def simulate_recording(
    config: RecordingConfig, *, seed: int, split: str, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate a recording: a pure function of the arguments.

    The scene depends on seed, split and number only, not on the camera.

    Returns:
        The events (EVENT_DTYPE, sorted, from time 0) and the boxes (BOX_DTYPE, every 250 ms).
    """
    scene = Scene(config.sensor_hw, config.duration_s, generator(seed, "scene", split, number))
    duration_us = round(config.duration_s * 1e6)
    frames = round(config.duration_s * config.frames_per_second)
    times_us = np.linspace(0, duration_us, max(frames, 1) + 1).astype(np.int64).tolist()
    camera = EventCamera(
        config.camera, scene.render(0), start_us=0, rng=generator(seed, "camera", split, number)
    )
    events = [camera.advance(scene.render(time_us), time_us) for time_us in times_us[1:]]
    label_times_us = range(LABEL_PERIOD_US, duration_us + 1, LABEL_PERIOD_US)
    return np.concatenate(events), np.concatenate(
        [scene.labels(time_us) for time_us in label_times_us]
    )
