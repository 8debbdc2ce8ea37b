"""The network: embedding, spiking YOLOX, memory, losses, fusing, published parameter names."""

from easnn.models.config import DetectorConfig, DetectorKeys, EmbeddingKeys, SpikeMode
from easnn.models.detector import EventDetector, build_detector
from easnn.models.embedding import SamplerTrace
from easnn.models.fuse import fuse
from easnn.models.memory import CarriedLIF, Clips, MemoryState
from easnn.models.neurons import IntegerLIF, ParametricLIF, SpikingNeurons, quantiser_note
from easnn.models.published_names import load_published_state_dict, published_names

__all__ = [
    "CarriedLIF",
    "Clips",
    "DetectorConfig",
    "DetectorKeys",
    "EmbeddingKeys",
    "EventDetector",
    "IntegerLIF",
    "MemoryState",
    "ParametricLIF",
    "SamplerTrace",
    "SpikeMode",
    "SpikingNeurons",
    "build_detector",
    "fuse",
    "load_published_state_dict",
    "published_names",
    "quantiser_note",
]
