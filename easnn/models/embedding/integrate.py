"""The recurrent embeddings without segments: ``rsnn`` and ``snn``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easnn.models.config import EmbeddingConfig
from easnn.models.embedding.base import EventEmbedding
from easnn.models.embedding.packed import unpack


class MembraneIntegral(EventEmbedding):
    """The sum of the membrane over all sampling steps, or what is left of it after the last one.

    Args:
        config: the settings.
        recurrence: the membrane: gated (``rsnn``) or leaky (``snn``).
    """

    def __init__(self, config: EmbeddingConfig, recurrence: nn.Module) -> None:
        super().__init__(config)
        self.readout = config.readout
        self.recurrence = recurrence

    def embed(self, slices: Tensor) -> Tensor:
        """Make slices ``[Tl·Tm, B, C, H, W]``, newest first, into ``[B, C, H, W]``."""
        steps = self.recurrence(slices)
        if self.readout == "last":
            return unpack(steps[-1].rest)
        return unpack(torch.stack([step.membrane for step in steps]).sum(0))
