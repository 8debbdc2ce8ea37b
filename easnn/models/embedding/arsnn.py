"""The adaptive sampling embedding (EAS-SNN paper, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from easnn.models.config import EmbeddingConfig
from easnn.models.embedding.base import EventEmbedding
from easnn.models.embedding.packed import unpack
from easnn.models.embedding.recurrence import GatedRecurrence, Step
from easnn.models.embedding.trace import SamplerTrace


class Reading(NamedTuple):
    """What the pixels whose segment ends read out; tensors are packed as those of a :class:`Step`.

    Attributes:
        step: the step at whose end they do it.
        by_spike: whether spikes end the segments, or the end of the steps.
        ends: where a segment ends, bool.
        number: segments that each pixel has ended before, n.
        content: r, or r′ of a residue.
        accumulated: A.
        elapsed: steps since the last spike.
    """

    step: int
    by_spike: bool
    ends: Tensor
    number: Tensor
    content: Tensor
    accumulated: Tensor
    elapsed: Tensor

    def at(self, n: int, quantity: Tensor | float) -> Tensor:
        """Return ``quantity`` where segment ``n`` ends, and 0 elsewhere."""
        return torch.where(self.ends & (self.number == n), quantity, 0)


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
        segments = [torch.zeros_like(steps[0].membrane)] * self.Ts
        for reading in self._readings(steps):
            if reading.by_spike or not self.write_zero:
                segments = [s + reading.at(n, reading.content) for n, s in enumerate(segments)]
        return unpack(torch.stack(segments))

    def trace_slices(self, slices: Tensor) -> SamplerTrace:
        """Tell what happens to slices ``[Tl·Tm, B, C, H, W]``, oldest first."""
        steps = self.recurrence(slices)
        readings = list(self._readings(steps))

        def collect(quantity: Callable[[Reading], Tensor | float]) -> Tensor:
            """Put the quantity of each reading at the segment that it belongs to; a pixel has one at most."""
            zero = torch.zeros_like(steps[0].membrane)
            parts = [sum((r.at(n, quantity(r)) for r in readings), start=zero) for n in range(self.Ts)]
            return unpack(torch.stack(parts))

        beyond = [torch.where(r.ends & (r.number >= self.Ts), r.accumulated.abs(), 0) for r in readings]
        return SamplerTrace(
            spikes=unpack(torch.stack([step.spikes for step in steps])) > 0,
            end_step=collect(lambda r: r.step + 1.0).long() - 1,
            by_spike=collect(lambda r: float(r.by_spike)) > 0,
            span_steps=collect(lambda r: r.elapsed).long(),
            accumulated=collect(lambda r: r.accumulated),
            value=collect(lambda r: r.content),
            surplus=unpack(torch.stack(beyond).sum(0)),
            adaptive=True,
            drops_residue=self.write_zero,
        )

    def _readings(self, steps: Sequence[Step]) -> Iterator[Reading]:
        """Go through the steps: yield what ends with the spikes of each, and at last what ends without."""
        sums = torch.zeros_like(steps[0].membrane)
        elapsed, written = torch.zeros_like(sums), torch.zeros_like(sums)
        for step, (membrane, spikes, _) in enumerate(steps):
            sums, elapsed, fired = sums + membrane, elapsed + 1, spikes > 0
            content = self._read(sums, membrane, elapsed)
            content = content * spikes if self.spike_attach else content
            yield Reading(step, True, fired, written, content, sums, elapsed)
            written = written + fired
            sums, elapsed = sums.masked_fill(fired, 0), elapsed.masked_fill(fired, 0)
        residue = self._read(sums, steps[-1].rest, elapsed.clamp_min(1))
        yield Reading(step, False, ~fired, written, residue, sums, elapsed)

    def _read(self, sums: Tensor, last: Tensor, elapsed: Tensor) -> Tensor:
        match self.readout:
            case "sum":
                return sums
            case "last":
                return last
            case "avg":
                return sums / elapsed
