"""From settings to an embedding."""

from __future__ import annotations

from easnn.models.config import EmbeddingConfig
from easnn.models.embedding.arsnn import AdaptiveSampling
from easnn.models.embedding.base import EventEmbedding
from easnn.models.embedding.count import EventCount
from easnn.models.embedding.integrate import MembraneIntegral


def build_embedding(config: EmbeddingConfig) -> EventEmbedding:
    """Return the embedding that ``config`` describes, with new weights drawn from torch's generator."""
    match config.kind:
        case "arsnn":
            return AdaptiveSampling(config)
        case "rsnn" | "snn":
            return MembraneIntegral(config)
        case "count":
            return EventCount(config)
