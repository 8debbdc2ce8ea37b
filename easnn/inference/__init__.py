"""Inference: the predictor behind evaluation, pictures and the demo, and detection in streams."""

from easnn.inference.detections import Detections, LabelledFrame, Observation, class_label
from easnn.inference.live import LiveReport, LiveWindow, Watcher
from easnn.inference.predictor import Predictor, moments_us

__all__ = [
    "Detections",
    "LabelledFrame",
    "LiveReport",
    "LiveWindow",
    "Observation",
    "Predictor",
    "Watcher",
    "class_label",
    "moments_us",
]
