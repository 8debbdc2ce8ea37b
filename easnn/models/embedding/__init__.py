"""Embeddings: event counts ``[B, Tl, Tm, C, H, W]`` become the frames that the detector sees."""

from easnn.models.config import DetectorConfig
from easnn.models.embedding.arsnn import AdaptiveSampling
from easnn.models.embedding.base import EventEmbedding, SamplerTrace
from easnn.models.embedding.integrate import EventCount, MembraneIntegral

__all__ = [
    "AdaptiveSampling",
    "EventCount",
    "EventEmbedding",
    "MembraneIntegral",
    "SamplerTrace",
    "build_embedding",
]


def build_embedding(config: DetectorConfig) -> EventEmbedding:
    """Build the embedding of ``config``, with new weights drawn from torch's generator."""
    match config.embedding:
        case "arsnn":
            return AdaptiveSampling(config)
        case "rsnn" | "snn":
            return MembraneIntegral(config)
        case "count":
            return EventCount(config)
