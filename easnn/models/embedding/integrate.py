"""The embeddings without segments: ``rsnn`` and ``snn`` sum a membrane, ``count`` sums events."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from easnn.models.config import DetectorConfig
from easnn.models.embedding.base import EventEmbedding, SamplerTrace
from easnn.models.embedding.packed import unpack
from easnn.models.embedding.recurrence import (
    GatedRecurrence,
    LeakyRecurrence,
    SamplingStep,
    fire,
)


class EventCount(EventEmbedding):
    """All events of a pixel in one frame: the baseline of all embeddings."""

    def embed(self, slices: Tensor) -> Tensor:
        """Sum slices ``[S, B, C, H, W]`` to ``[B, C, H, W]``."""
        return slices.sum(0)


class MembraneIntegral(EventEmbedding):
    """The sum of the membrane over all sampling steps, or the membrane after the last one.

    The membrane is that of the adaptive sampler (``rsnn``) or a leaky integrator (``snn``).
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        self.readout = config.readout
        self.recurrence: GatedRecurrence | LeakyRecurrence = (
            GatedRecurrence(config) if config.embedding == "rsnn" else LeakyRecurrence(config)
        )

    def embed(self, slices: Tensor) -> Tensor:
        """Turn slices ``[S, B, C, H, W]``, oldest first, into ``[B, C, H, W]``."""
        if self.recurrence.is_native(slices):
            membranes = self.recurrence.native_membranes(slices)  # [S, B, C, H, W]
            if self.readout == "last":
                _, last = fire(membranes[-1], self.recurrence.firing)
                return last
            return membranes.sum(0)
        return unpack(self._read(self.recurrence(slices)))

    def trace_slices(self, slices: Tensor) -> SamplerTrace:
        """Trace slices ``[S, B, C, H, W]``, oldest first: one residue spans all steps."""
        steps = self.recurrence(slices)
        value = unpack(self._read(steps))[None]  # [1, B, C, H, W]
        all_steps = torch.full_like(value, len(steps), dtype=torch.long)
        return SamplerTrace(
            spikes=unpack(torch.stack([step.spikes for step in steps])) > 0,
            end_step=all_steps - 1,
            by_spike=torch.zeros_like(value, dtype=torch.bool),
            span_steps=all_steps,
            accumulated=unpack(_sum(steps))[None],
            value=value,
            written=value,
            surplus=torch.zeros_like(value[0]),
            output=self.finish(value),
            adaptive=False,
            drops_residue=False,
        )

    def spikes_of_slices(self, slices: Tensor) -> Tensor:
        """Return the spikes for slices ``[S, B, C, H, W]``, oldest first."""
        return self.recurrence.spikes(slices)

    def _read(self, steps: Sequence[SamplingStep]) -> Tensor:
        return steps[-1].post_reset if self.readout == "last" else _sum(steps)


def _sum(steps: Sequence[SamplingStep]) -> Tensor:
    return torch.stack([step.membrane for step in steps]).sum(0)
