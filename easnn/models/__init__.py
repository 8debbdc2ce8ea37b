"""The detector: embedding, spiking YOLOX, label assignment, losses, fusing, names of published checkpoints."""

from easnn.models.config import DetectorConfig, EmbeddingConfig, SpikeMode
from easnn.models.detector import EventDetector, build_detector
from easnn.models.embedding import SamplerTrace
from easnn.models.fuse import fuse
from easnn.models.neurons import ParametricLIF
from easnn.models.published import load_published_state_dict, published_names
from easnn.models.translation import from_published, to_published

__all__ = [
    "DetectorConfig",
    "EmbeddingConfig",
    "EventDetector",
    "ParametricLIF",
    "SamplerTrace",
    "SpikeMode",
    "build_detector",
    "from_published",
    "fuse",
    "load_published_state_dict",
    "published_names",
    "to_published",
]
