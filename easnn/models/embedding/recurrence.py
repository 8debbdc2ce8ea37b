"""The membranes behind the embeddings: how they charge, leak, fire and reset, one sampling step after another."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from easnn.models.config import EmbeddingConfig
from easnn.models.embedding.spike import fire


class Step(NamedTuple):
    """One sampling step of every pixel, each ``[B, C, H, W]``."""

    membrane: Tensor
    """Before the reset."""
    spikes: Tensor
    rest: Tensor
    """The membrane after the reset."""


class GatedRecurrence(nn.Module):
    """Convolutions of the input and of the last spikes charge the membrane and set how much of it is kept.

    ::

        g_in, c_in = input_conv(e[t]);  g_rec, c_rec = gate_conv(S)
        U = sigmoid(g_in + g_rec)·V + c_in + c_rec
        S = Θ(U − threshold);  V = U after the reset

    from V = S = 0. The membrane is float32 even in mixed precision.

    Shape:
        ``[Tm, B, C, H, W]``, in the order of reading → ``Tm`` steps.
    """

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.threshold, self.reset = config.threshold, config.reset
        self.input_conv = conv_branch(config, 2 * config.in_channels)
        self.gate_conv = conv_branch(config, 2 * config.in_channels)
        for conv in convolutions(self.input_conv):
            nn.init.orthogonal_(conv.weight, nn.init.calculate_gain("relu"))
        for conv in convolutions(self.gate_conv):
            nn.init.kaiming_uniform_(conv.weight, nonlinearity="sigmoid")

    def forward(self, events: Tensor) -> list[Step]:
        inputs = self.input_conv(events.flatten(0, 1)).unflatten(0, events.shape[:2])
        rest = torch.zeros_like(events[0], dtype=torch.promote_types(events.dtype, torch.float32))
        spikes = rest[:1]  # Before the first step all images are alike.
        steps = []
        for current in inputs:
            gate, charge = (current + self.gate_conv(spikes)).chunk(2, dim=1)
            membrane = gate.sigmoid() * rest + charge
            spikes, rest = fire(membrane, self.threshold, self.reset)
            steps.append(Step(membrane, spikes, rest))
        return steps


class LeakyRecurrence(nn.Module):
    """A leaky integrator with one learned decay: U = sigmoid(decay)·V + conv(e[t]), with the same spike and reset.

    Shape:
        ``[Tm, B, C, H, W]``, in the order of reading → ``Tm`` steps.
    """

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.threshold, self.reset = config.threshold, config.reset
        self.conv = conv_branch(config, config.in_channels)
        self.decay = nn.Parameter(torch.tensor(math.log(config.decay / (1 - config.decay))))
        for conv in convolutions(self.conv):
            nn.init.orthogonal_(conv.weight, nn.init.calculate_gain("relu"))

    def forward(self, events: Tensor) -> list[Step]:
        inputs = self.conv(events.flatten(0, 1)).unflatten(0, events.shape[:2])
        rest = torch.zeros_like(events[0], dtype=torch.promote_types(events.dtype, torch.float32))
        steps = []
        for charge in inputs:
            membrane = self.decay.sigmoid() * rest + charge
            spikes, rest = fire(membrane, self.threshold, self.reset)
            steps.append(Step(membrane, spikes, rest))
        return steps


def conv_branch(config: EmbeddingConfig, channels_out: int) -> nn.Sequential:
    """Stack ``depth`` convolutions that keep the size, with ReLU between them."""
    layers: list[nn.Module] = []
    channels = config.in_channels
    for _ in range(config.depth):
        layers += [nn.ReLU()] if layers else []
        layers.append(nn.Conv2d(channels, channels_out, config.kernel_size, padding="same"))
        channels = channels_out
    return nn.Sequential(*layers)


def convolutions(branch: nn.Sequential) -> list[nn.Conv2d]:
    """Return the convolutions of a branch, in order."""
    return [layer for layer in branch if isinstance(layer, nn.Conv2d)]
