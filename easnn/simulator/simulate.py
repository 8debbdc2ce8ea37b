"""Simulation of one recording: a scene, recorded by an event camera."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.lib.recfunctions import repack_fields

from easnn.events import BOX_DTYPE, MOTION_BOX_DTYPE
from easnn.simulator.config import LABEL_PERIOD_US, RecordingConfig
from easnn.simulator.event_camera import EventCamera
from easnn.simulator.scenario import SCENARIOS
from easnn.simulator.scene import Scene
from easnn.utils.seeding import generator


def simulate_recording(
    config: RecordingConfig, *, seed: int, split: str, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate a recording: a pure function of the arguments.

    The scene depends on seed, split and number only, not on the camera.

    Returns:
        The events (EVENT_DTYPE, sorted, from time 0) and the boxes (every 250 ms; BOX_DTYPE, or
        MOTION_BOX_DTYPE if the scenario says so).
    """
    scenario = SCENARIOS[config.scenario]
    rng = generator(seed, "scene", split, number)
    scene = Scene(config.sensor_hw, config.duration_s, rng, scenario)
    duration_us = round(config.duration_s * 1e6)
    frames = round(config.duration_s * config.frames_per_second)
    times_us = np.linspace(0, duration_us, max(frames, 1) + 1).astype(np.int64).tolist()
    noise = {name: scene.noise * getattr(config.camera, name) for name in ("noise_hz", "hot_hz")}
    camera = EventCamera(
        replace(config.camera, **noise),
        scene.render(0),
        start_us=0,
        rng=generator(seed, "camera", split, number),
    )
    events = [camera.advance(scene.render(time_us), time_us) for time_us in times_us[1:]]
    label_times_us = range(LABEL_PERIOD_US, duration_us + 1, LABEL_PERIOD_US)
    boxes = np.concatenate([scene.labels(time_us) for time_us in label_times_us])
    dtype = MOTION_BOX_DTYPE if scenario.motion else BOX_DTYPE
    return np.concatenate(events), repack_fields(boxes[list(dtype.names or ())]).astype(dtype)
