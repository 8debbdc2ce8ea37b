"""An event simulator: streets with cars and pedestrians, seen by a model of an event camera."""

from easnn.events.simulator.camera import CameraConfig, EventCamera
from easnn.events.simulator.dataset import DatasetConfig, SplitSummary, write_synthetic_dataset
from easnn.events.simulator.recording import LABEL_PERIOD_US, RecordingConfig, simulate_recording
from easnn.events.simulator.scene import Scene
from easnn.events.simulator.sprite import CLASS_NAMES

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
