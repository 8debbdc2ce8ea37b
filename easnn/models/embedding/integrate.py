"""The embeddings that integrate without segments: ``rsnn`` and ``snn``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from easnn.models.config import EmbeddingConfig
from easnn.models.embedding.base import EventEmbedding
from easnn.models.embedding.packed import unpack
from easnn.models.embedding.recurrence import GatedRecurrence, LeakyRecurrence, Step
from easnn.models.embedding.trace import SamplerTrace


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
        return unpack(self._read(steps))

    def trace_slices(self, slices: Tensor) -> SamplerTrace:
        """Tell what happens to slices ``[Tl·Tm, B, C, H, W]``, oldest first: one residue spans all steps."""
        steps = self.recurrence(slices)
        value = unpack(self._read(steps))[None]
        whole = torch.full_like(value, len(steps), dtype=torch.long)
        return SamplerTrace(
            spikes=unpack(torch.stack([step.spikes for step in steps])) > 0,
            end_step=whole - 1,
            by_spike=torch.zeros_like(value, dtype=torch.bool),
            span_steps=whole,
            accumulated=unpack(_sum(steps))[None],
            value=value,
            surplus=torch.zeros_like(value[0]),
            adaptive=False,
            drops_residue=False,
        )

    def _read(self, steps: Sequence[Step]) -> Tensor:
        return steps[-1].rest if self.readout == "last" else _sum(steps)


def _sum(steps: Sequence[Step]) -> Tensor:
    return torch.stack([step.membrane for step in steps]).sum(0)
