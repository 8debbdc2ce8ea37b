"""The plain count of events, the baseline of all embeddings."""

from __future__ import annotations

from torch import Tensor

from easnn.models.embedding.base import EventEmbedding


class EventCount(EventEmbedding):
    """All events of a pixel in one frame."""

    def embed(self, slices: Tensor) -> Tensor:
        """Sum slices ``[Tl·Tm, B, C, H, W]`` to ``[B, C, H, W]``."""
        return slices.sum(0)
