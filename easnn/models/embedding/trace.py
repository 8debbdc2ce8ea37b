"""What an embedding did on its way to its output, step by step and segment by segment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class SamplerTrace:
    """When each pixel sampled, how much it had accumulated, and what it wrote or dropped.

    Step 0 reads the newest of the S slices. A pixel is counted once per channel. Each of its segments ends
    with a spike, or, if the last step brings none, without one: that segment is the residue.

    Attributes:
        spikes: where the membrane fired ``[S, B, C, H, W]``, bool.
        end_step: last step of each segment ``[Ts, B, C, H, W]``, −1 where there is no such segment.
        by_spike: whether a spike ended the segment ``[Ts, B, C, H, W]``, bool.
        span_steps: steps that the segment spans ``[Ts, B, C, H, W]``, 0 where there is none.
        accumulated: sum A of the membrane over these steps ``[Ts, B, C, H, W]``.
        value: what the segment amounts to by the ``readout`` ``[Ts, B, C, H, W]``; 0 where there is none.
        surplus: sum of the absolute values of the sums A that came after the last of ``Ts`` segments
            ``[B, C, H, W]``: the output never sees it.
        adaptive: whether spikes end segments. If not (``rsnn``, ``snn``), one residue spans all steps.
        drops_residue: whether residues are dropped instead of written (RPD, ``write_zero``).
    """

    spikes: Tensor
    end_step: Tensor
    by_spike: Tensor
    span_steps: Tensor
    accumulated: Tensor
    value: Tensor
    surplus: Tensor
    adaptive: bool
    drops_residue: bool

    @property
    def residue(self) -> Tensor:
        """Where a segment ended without a spike ``[Ts, B, C, H, W]``, bool."""
        return (self.end_step >= 0) & ~self.by_spike

    @property
    def written(self) -> Tensor:
        """What the embedding writes ``[Ts, B, C, H, W]``, before its ReLU (``abs``) and batch norm."""
        return torch.where(self.residue, 0, self.value) if self.drops_residue else self.value

    @property
    def dropped(self) -> Tensor:
        """What RPD keeps from being written ``[Ts, B, C, H, W]``."""
        return self.value - self.written

    def apply(self, change: Callable[[Tensor], Tensor]) -> SamplerTrace:
        """Return the trace with every tensor changed in the same way."""
        return replace(
            self,
            spikes=change(self.spikes),
            end_step=change(self.end_step),
            by_spike=change(self.by_spike),
            span_steps=change(self.span_steps),
            accumulated=change(self.accumulated),
            value=change(self.value),
            surplus=change(self.surplus),
        )
