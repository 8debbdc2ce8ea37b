"""What all embeddings share: the sequence of slices that they read, and what may happen to the output."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from easnn.models.config import EmbeddingConfig
from easnn.models.embedding.trace import SamplerTrace
from easnn.models.norm import batch_norm


class EventEmbedding(nn.Module, ABC):
    """Makes event counts into frames; the micro slices of all macro slices are one sequence."""

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.rectify = nn.ReLU() if config.abs else nn.Identity()
        self.norm = batch_norm(config.in_channels) if config.norm == "bn" else nn.Identity()

    def forward(self, events: Tensor) -> Tensor:
        """Make ``[B, Tl, Tm, C, H, W]``, oldest first, into frames.

        Returns:
            ``[Ts, B, C, H, W]`` from the adaptive sampler, ``[B, C, H, W]`` from the others.
        """
        frames = self.embed(_sequence(events))
        out: Tensor = self.norm(self.rectify(frames).flatten(0, -4))
        return out.view(frames.shape)

    def trace(self, events: Tensor) -> SamplerTrace | None:
        """Tell how the embedding comes to its output for ``[B, Tl, Tm, C, H, W]``, oldest first.

        Returns:
            The trace, or None from an embedding without a membrane (``count``), which has nothing to tell.
        """
        return self.trace_slices(_sequence(events))

    @abstractmethod
    def embed(self, slices: Tensor) -> Tensor:
        """Make slices ``[Tl·Tm, B, C, H, W]``, oldest first, into frames."""

    def trace_slices(self, slices: Tensor) -> SamplerTrace | None:
        """Do as :meth:`trace` for slices ``[Tl·Tm, B, C, H, W]``, oldest first."""
        return None


def _sequence(events: Tensor) -> Tensor:
    """Make ``[B, Tl, Tm, C, H, W]`` into slices ``[Tl·Tm, B, C, H, W]``."""
    return events.flatten(1, 2).transpose(0, 1)
