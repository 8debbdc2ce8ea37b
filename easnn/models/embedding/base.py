"""What all embeddings share: their input, the steps after them, and the record of how they work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn

from easnn.models.config import DetectorConfig
from easnn.models.norm import batch_norm


@dataclass(frozen=True)
class SamplerTrace:
    """When each pixel sampled, how much it had accumulated, and what it wrote or dropped.

    Step 0 reads the newest of the S slices. Each channel of a pixel has segments of its own. A
    segment ends with a spike. If the last step brings no spike, the segment that is still open ends
    without one: it is the residue.

    Attributes:
        spikes: where the membrane fired ``[S, B, C, H, W]``, bool.
        end_step: last step of each segment ``[Ts, B, C, H, W]``, −1 where there is no such segment.
        by_spike: whether a spike ended the segment ``[Ts, B, C, H, W]``, bool.
        span_steps: number of steps in the segment ``[Ts, B, C, H, W]``, 0 where there is none.
        accumulated: sum A of the membrane over these steps ``[Ts, B, C, H, W]``.
        value: readout of the segment ``[Ts, B, C, H, W]``; 0 where there is none.
        written: value that is written ``[Ts, B, C, H, W]``, before ReLU and batch norm.
        surplus: sum of the absolute values of the sums A that came after the last of ``Ts``
            segments ``[B, C, H, W]``. The output does not depend on them.
        output: output of the embedding ``[Ts, B, C, H, W]``, after its ReLU and batch norm.
        adaptive: whether spikes end segments. If not (``rsnn``, ``snn``), one residue spans all
            steps.
        drops_residue: whether residues are dropped instead of written (RPD, ``write_zero``).
    """

    spikes: Tensor
    end_step: Tensor
    by_spike: Tensor
    span_steps: Tensor
    accumulated: Tensor
    value: Tensor
    written: Tensor
    surplus: Tensor
    output: Tensor
    adaptive: bool
    drops_residue: bool

    @property
    def residue(self) -> Tensor:
        """Where a segment ended without a spike ``[Ts, B, C, H, W]``, bool."""
        return (self.end_step >= 0) & ~self.by_spike

    @property
    def dropped(self) -> Tensor:
        """What RPD drops ``[Ts, B, C, H, W]``."""
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
            written=change(self.written),
            surplus=change(self.surplus),
            output=change(self.output),
        )


class EventEmbedding(nn.Module, ABC):
    """Turns event counts into frames; the micro slices of all macro slices are one sequence.

    Args:
        config: ``abs`` True adds a ReLU to the output, and ``norm`` ``bn`` a batch norm behind it.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.rectify = nn.ReLU() if config.abs is True else nn.Identity()  # "split" has no effect
        self.norm = batch_norm(config.in_channels) if config.norm == "bn" else nn.Identity()

    def forward(self, events: Tensor) -> Tensor:
        """Turn ``[B, Tl, Tm, C, H, W]``, oldest slice first, into frames.

        Returns:
            ``[Ts, B, C, H, W]`` from the adaptive sampler, ``[B, C, H, W]`` from the others.
        """
        return self.finish(self.embed(_sequence(events)))

    def trace(self, events: Tensor) -> SamplerTrace | None:
        """Record how the output for ``[B, Tl, Tm, C, H, W]``, oldest slice first, is computed.

        Returns:
            The trace, whose ``output`` equals :meth:`forward`; None from an embedding without a
            membrane (``count``).
        """
        return self.trace_slices(_sequence(events))

    def spikes(self, events: Tensor) -> Tensor | None:
        """Return where the membrane fires for ``[B, Tl, Tm, C, H, W]``, oldest slice first.

        Returns:
            ``[S, B, C, H, W]``, bool, newest step first; None from an embedding without a membrane.
        """
        return self.spikes_of_slices(_sequence(events))

    @abstractmethod
    def embed(self, slices: Tensor) -> Tensor:
        """Turn slices ``[S, B, C, H, W]``, oldest first, into frames before ReLU and batch norm."""

    def trace_slices(self, slices: Tensor) -> SamplerTrace | None:
        """Do as :meth:`trace` for slices ``[S, B, C, H, W]``, oldest first."""
        return None

    def spikes_of_slices(self, slices: Tensor) -> Tensor | None:
        """Do as :meth:`spikes` for slices ``[S, B, C, H, W]``, oldest first."""
        return None

    def finish(self, frames: Tensor) -> Tensor:
        """Apply ReLU and batch norm to ``[..., C, H, W]``; all leading axes are the batch."""
        images = self.rectify(frames).flatten(0, -4)  # [N, C, H, W]
        return self.norm(images).view(frames.shape)


def _sequence(events: Tensor) -> Tensor:
    """Turn ``[B, Tl, Tm, C, H, W]`` into slices ``[S, B, C, H, W]``, S = Tl·Tm."""
    return events.flatten(1, 2).transpose(0, 1)
