"""An event simulator: street scenes, recorded by a model of an event camera."""

from easnn.simulator.event_camera import CameraConfig, EventCamera
from easnn.simulator.scene import Scene
from easnn.simulator.simulate import LABEL_PERIOD_US, RecordingConfig, simulate_recording
from easnn.simulator.sprite import CLASS_NAMES
from easnn.simulator.synthetic_dataset import DatasetConfig, SplitSummary, write_synthetic_dataset

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
