"""An event simulator: street scenes, recorded by a model of an event camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

from easnn.utils.lazy import lazy_names

if TYPE_CHECKING:
    from easnn.simulator.config import LABEL_PERIOD_US, CameraConfig, DatasetConfig, RecordingConfig
    from easnn.simulator.event_camera import EventCamera
    from easnn.simulator.scene import Scene
    from easnn.simulator.simulate import simulate_recording
    from easnn.simulator.sprite import CLASS_NAMES
    from easnn.simulator.synthetic_dataset import SplitSummary, write_synthetic_dataset

__all__ = [
    "CLASS_NAMES",
    "LABEL_PERIOD_US",
    "CameraConfig",
    "DatasetConfig",
    "EventCamera",
    "RecordingConfig",
    "Scene",
    "SplitSummary",
    "simulate_recording",
    "write_synthetic_dataset",
]

__getattr__ = lazy_names(
    __name__,
    {
        "config": "LABEL_PERIOD_US CameraConfig DatasetConfig RecordingConfig",
        "event_camera": "EventCamera",
        "scene": "Scene",
        "simulate": "simulate_recording",
        "sprite": "CLASS_NAMES",
        "synthetic_dataset": "SplitSummary write_synthetic_dataset",
    },
)
"""The configurations need nothing; the rest needs OpenCV, which is slow to import."""
