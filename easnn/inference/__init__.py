"""Inference: the predictor behind evaluation, pictures and the demo."""

from easnn.inference.detections import Detections, class_label
from easnn.inference.predictor import LabelledFrame, Observation, Predictor, moments_us

__all__ = ["Detections", "LabelledFrame", "Observation", "Predictor", "class_label", "moments_us"]
