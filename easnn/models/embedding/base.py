"""What all embeddings share: the order in which slices are read, and what happens to the output."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from easnn.models.config import EmbeddingConfig
from easnn.models.norm import batch_norm


class EventEmbedding(nn.Module, ABC):
    """Makes event counts into frames.

    The micro slices of all macro slices are one sequence, which is read newest first.

    Shape:
        ``[B, Tl, Tm, C, H, W]``, oldest first → ``[Ts, B, C, H, W]`` from the adaptive sampler,
        ``[B, C, H, W]`` from the others.
    """

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.norm = batch_norm(config.in_channels) if config.norm == "bn" else nn.Identity()
        self.rectify = nn.ReLU() if config.abs else nn.Identity()

    def forward(self, events: Tensor) -> Tensor:
        """Make ``[B, Tl, Tm, C, H, W]``, oldest first, into ``[Ts, B, C, H, W]`` (``arsnn``) or ``[B, C, H, W]``."""
        frames = self.embed(events.flatten(1, 2).transpose(0, 1))
        normed: Tensor = self.norm(self.rectify(frames).flatten(0, -4))
        return normed.view(frames.shape)

    @abstractmethod
    def embed(self, slices: Tensor) -> Tensor:
        """Make slices ``[Tl·Tm, B, C, H, W]``, oldest first, into frames."""
