"""From events to boxes: the predictor that evaluation, pictures and users share."""

from easnn.inference.detections import Detections, class_label
from easnn.inference.predictor import LabelledFrame, Observation, Predictor, moments_us

__all__ = ["Detections", "LabelledFrame", "Observation", "Predictor", "class_label", "moments_us"]
