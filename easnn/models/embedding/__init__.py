"""Embeddings: event counts ``[B, Tl, Tm, C, H, W]`` become the frames that the detector sees."""

from easnn.models.embedding.arsnn import AdaptiveSampling
from easnn.models.embedding.base import EventEmbedding
from easnn.models.embedding.build import build_embedding
from easnn.models.embedding.count import EventCount
from easnn.models.embedding.integrate import MembraneIntegral
from easnn.models.embedding.trace import SamplerTrace

__all__ = [
    "AdaptiveSampling",
    "EventCount",
    "EventEmbedding",
    "MembraneIntegral",
    "SamplerTrace",
    "build_embedding",
]
