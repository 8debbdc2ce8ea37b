"""The parametric LIF neuron as spikingjelly's multi-step ``torch`` backend computes it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from easnn.kernels import THRESHOLD
from easnn.models.neurons import ParametricLIF


class PublishedNeurons(nn.Module):
    """The same neurons as :class:`~easnn.models.ParametricLIF`, one torch operation at a time.

    Charge, spike and soft reset of each step are separate operations for autograd, which keeps the
    intermediate results, and the spikes of all steps are stacked.

    Args:
        ours: the layer whose leak and surrogate are copied; the input has all T time steps.
    """

    def __init__(self, ours: ParametricLIF) -> None:
        super().__init__()
        self.T = ours.T
        self.w = nn.Parameter(ours.w.detach().clone())
        self.surrogate = copy.deepcopy(ours.surrogate)

    def forward(self, current: Tensor) -> Tensor:
        """Turn currents ``[T·B, ...]`` into spikes of the same shape, time first."""
        in_time = current.view(self.T, -1, *current.shape[1:])  # [T, B, ...]
        membrane = torch.zeros_like(in_time[0])  # [B, ...]
        spikes = []
        for x in in_time:
            membrane = membrane * (1.0 - self.w.sigmoid()) + x
            spike = self.surrogate(membrane - THRESHOLD)
            membrane = membrane - spike * THRESHOLD
            spikes.append(spike)
        return torch.stack(spikes).flatten(0, 1)
