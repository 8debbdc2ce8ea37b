"""The adaptive sampling embedding (EAS-SNN paper, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from easnn.models.config import EmbeddingConfig
from easnn.models.embedding.base import EventEmbedding
from easnn.models.embedding.packed import unpack
from easnn.models.embedding.recurrence import GatedRecurrence


class AdaptiveSampling(EventEmbedding):
    """Each pixel decides for itself, by a spike, when a segment of its events is complete.

    With membrane U (V after the reset) and spike S of :class:`GatedRecurrence`, the sum A of U since the last
    spike, n segments written and the last spike at ``t_last`` (−1 at first)::

        where S[t] = 1 and n < Ts:   out[n] = A (sum) | U (last) | A / (t − t_last) (avg);   n += 1;   A = 0
        where S = 0 in the last step and n < Ts:
                                     out[n] = A (sum) | V (last) | A / (t − t_last) (avg)

    ``spike_attach`` multiplies what a spike writes by the spike: that keeps the value, and lets the gradient
    reach the spike. ``write_zero`` drops what is left without a spike after the last step.
    """

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__(config)
        self.Ts, self.readout = config.Ts, config.readout
        self.spike_attach, self.write_zero = config.spike_attach, config.write_zero
        self.recurrence = GatedRecurrence(config)

    def embed(self, slices: Tensor) -> Tensor:
        """Make slices ``[Tl·Tm, B, C, H, W]``, oldest first, into segments ``[Ts, B, C, H, W]``."""
        steps = self.recurrence(slices)
        sums = torch.zeros_like(steps[0].membrane)
        elapsed, written = torch.zeros_like(sums), torch.zeros_like(sums)
        segments = [torch.zeros_like(sums)] * self.Ts
        for membrane, spikes, _ in steps:
            sums, elapsed, fired = sums + membrane, elapsed + 1, spikes > 0
            content = self._read(sums, membrane, elapsed)
            content = content * spikes if self.spike_attach else content
            segments = [s + torch.where(fired & (written == n), content, 0) for n, s in enumerate(segments)]
            written = written + fired
            sums, elapsed = sums.masked_fill(fired, 0), elapsed.masked_fill(fired, 0)
        if not self.write_zero:
            residue = self._read(sums, steps[-1].rest, elapsed.clamp_min(1))
            segments = [s + torch.where(~fired & (written == n), residue, 0) for n, s in enumerate(segments)]
        return unpack(torch.stack(segments))

    def _read(self, sums: Tensor, last: Tensor, elapsed: Tensor) -> Tensor:
        match self.readout:
            case "sum":
                return sums
            case "last":
                return last
            case "avg":
                return sums / elapsed
