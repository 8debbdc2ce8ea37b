"""Simulation of one recording: a scene, recorded by an event camera."""

from __future__ import annotations

import numpy as np

from easnn.simulator.config import LABEL_PERIOD_US, RecordingConfig
from easnn.simulator.event_camera import EventCamera
from easnn.simulator.scene import Scene
from easnn.utils.seeding import generator


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
