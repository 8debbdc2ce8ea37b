"""The membranes behind the embeddings: how they charge, leak, fire and reset, one sampling step after another."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from easnn.models.config import EmbeddingConfig
from easnn.models.embedding.packed import PackedConv2d, pack
from easnn.models.embedding.spike import fire


class Step(NamedTuple):
    """One sampling step of every pixel, packed: each ``[B, 4·C, H/2, W/2]``."""

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

    def forward(self, slices: Tensor) -> list[Step]:
        """Read slices ``[S, B, C, H, W]``, oldest first, from the last to the first: S steps."""
        cells = pack(slices)
        inputs = self.input_conv(cells.flatten(0, 1)).unflatten(0, cells.shape[:2])
        rest = torch.zeros_like(cells[0], dtype=torch.promote_types(cells.dtype, torch.float32))
        spikes = rest[:1]  # Before the first step all images are alike.
        steps = []
        for current in reversed(inputs.unbind(0)):
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

    def forward(self, slices: Tensor) -> list[Step]:
        """Read slices ``[S, B, C, H, W]``, oldest first, from the last to the first: S steps."""
        cells = pack(slices)
        inputs = self.conv(cells.flatten(0, 1)).unflatten(0, cells.shape[:2])
        rest = torch.zeros_like(cells[0], dtype=torch.promote_types(cells.dtype, torch.float32))
        steps = []
        for charge in reversed(inputs.unbind(0)):
            membrane = self.decay.sigmoid() * rest + charge
            spikes, rest = fire(membrane, self.threshold, self.reset)
            steps.append(Step(membrane, spikes, rest))
        return steps


def conv_branch(config: EmbeddingConfig, channels_out: int) -> nn.Sequential:
    """Stack ``depth`` convolutions that keep the size, with ReLU between them."""
    layers: list[nn.Module] = []
    channels = config.in_channels
    for _ in range(config.depth):
        layers += [nn.ReLU(inplace=True)] if layers else []
        layers.append(PackedConv2d(channels, channels_out, config.kernel_size))
        channels = channels_out
    return nn.Sequential(*layers)


def convolutions(branch: nn.Sequential) -> list[PackedConv2d]:
    """Return the convolutions of a branch, in order."""
    return [layer for layer in branch if isinstance(layer, PackedConv2d)]
