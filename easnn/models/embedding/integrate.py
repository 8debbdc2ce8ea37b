"""The embeddings that integrate without segments: ``rsnn`` and ``snn``."""

from __future__ import annotations

import torch
from torch import Tensor

from easnn.models.config import EmbeddingConfig
from easnn.models.embedding.base import EventEmbedding
from easnn.models.embedding.packed import unpack
from easnn.models.embedding.recurrence import GatedRecurrence, LeakyRecurrence


class MembraneIntegral(EventEmbedding):
    """The sum of the membrane over all sampling steps, or what is left of it after the last one.

    The membrane is that of the adaptive sampler (``rsnn``) or a leaky integrator (``snn``).
    """

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__(config)
        self.readout = config.readout
        self.recurrence = GatedRecurrence(config) if config.kind == "rsnn" else LeakyRecurrence(config)

    def embed(self, slices: Tensor) -> Tensor:
        """Make slices ``[Tl·Tm, B, C, H, W]``, oldest first, into ``[B, C, H, W]``."""
        steps = self.recurrence(slices)
        if self.readout == "last":
            return unpack(steps[-1].rest)
        return unpack(torch.stack([step.membrane for step in steps]).sum(0))
