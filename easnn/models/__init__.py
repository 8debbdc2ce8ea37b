"""The detector: embedding, spiking YOLOX, label assignment, losses, fusing, names of published checkpoints."""

from easnn.models.config import DetectorConfig, EmbeddingConfig, SpikeMode
from easnn.models.detector import EventDetector, build_detector
from easnn.models.fuse import fuse
from easnn.models.neurons import ParametricLIF
from easnn.models.published import load_published_state_dict, published_names

__all__ = [
    "DetectorConfig",
    "EmbeddingConfig",
    "EventDetector",
    "ParametricLIF",
    "SpikeMode",
    "build_detector",
    "fuse",
    "load_published_state_dict",
    "published_names",
]
