"""Inference: the predictor behind evaluation, pictures and the demo."""

from easnn.inference.detections import Detections, LabelledFrame, Observation, class_label
from easnn.inference.predictor import Predictor, moments_us

__all__ = ["Detections", "LabelledFrame", "Observation", "Predictor", "class_label", "moments_us"]
