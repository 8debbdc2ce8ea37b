"""The membranes behind the embeddings: how they charge, leak, fire and reset, step by step.

Slices are read from the newest to the oldest.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from easnn.models.config import EmbeddingConfig
from easnn.models.embedding.packed import PackedConv2d, pack
from easnn.models.embedding.spike import fire


class Step(NamedTuple):
    """One sampling step of every pixel, packed: each ``[B, 4·C, H/2, W/2]``.

    Attributes:
        membrane: U, before the reset.
        spikes: S.
        rest: V, after the reset.
    """

    membrane: Tensor
    spikes: Tensor
    rest: Tensor


class GatedRecurrence(nn.Module):
    """What came in and the last spikes charge the membrane and gate how much of it stays.

    ::

        g_in, c_in = input_conv(e[t]);   g_rec, c_rec = gate_conv(S)
        U = sigmoid(g_in + g_rec)·V + c_in + c_rec
        S = Θ(U − threshold);   V = U after the reset

    from V = S = 0. The membrane is float32 even in mixed precision.
    """

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.threshold, self.reset = config.threshold, config.reset
        self.input_conv = conv_branch(config, 2 * config.in_channels)
        self.gate_conv = conv_branch(config, 2 * config.in_channels)
        for kernel in kernels(self.input_conv):
            nn.init.orthogonal_(kernel, nn.init.calculate_gain("relu"))
        for kernel in kernels(self.gate_conv):
            nn.init.kaiming_uniform_(kernel, nonlinearity="sigmoid")

    def forward(self, slices: Tensor) -> list[Step]:
        """Read slices ``[S, B, C, H, W]``, oldest first: S steps, newest first."""
        charges, rest = charge_all(self.input_conv, slices)
        spikes = rest[:1]  # before the first step, all images are alike
        steps = []
        for charge in charges:
            gate, charge = (charge + self.gate_conv(spikes)).chunk(2, dim=1)
            membrane = gate.sigmoid() * rest + charge
            spikes, rest = fire(membrane, self.threshold, self.reset)
            steps.append(Step(membrane, spikes, rest))
        return steps


class LeakyRecurrence(nn.Module):
    """What came in charges the membrane, of which a learned share stays.

    ::

        U = sigmoid(decay)·V + conv(e[t])
        S = Θ(U − threshold);   V = U after the reset

    from V = 0. The membrane is float32 even in mixed precision.
    """

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.threshold, self.reset = config.threshold, config.reset
        self.conv = conv_branch(config, config.in_channels)
        self.decay = nn.Parameter(torch.tensor(math.log(config.decay / (1 - config.decay))))
        for kernel in kernels(self.conv):
            nn.init.orthogonal_(kernel, nn.init.calculate_gain("relu"))

    def forward(self, slices: Tensor) -> list[Step]:
        """Read slices ``[S, B, C, H, W]``, oldest first: S steps, newest first."""
        charges, rest = charge_all(self.conv, slices)
        steps = []
        for charge in charges:
            membrane = self.decay.sigmoid() * rest + charge
            spikes, rest = fire(membrane, self.threshold, self.reset)
            steps.append(Step(membrane, spikes, rest))
        return steps


def charge_all(branch: nn.Module, slices: Tensor) -> tuple[list[Tensor], Tensor]:
    """Send all slices ``[S, B, C, H, W]`` through ``branch`` in one call.

    Returns:
        What comes out, ``[B, C', H/2, W/2]`` per slice, newest first; and an empty membrane
        ``[B, 4·C, H/2, W/2]``.
    """
    cells = pack(slices)
    charges = branch(cells.flatten(0, 1)).chunk(len(cells))
    rest = torch.zeros_like(cells[0], dtype=torch.promote_types(cells.dtype, torch.float32))
    return list(reversed(charges)), rest


def conv_branch(config: EmbeddingConfig, channels_out: int) -> nn.Sequential:
    """Stack ``depth`` convolutions that keep the size, with ReLU between them."""
    layers: list[nn.Module] = [PackedConv2d(config.in_channels, channels_out, config.kernel_size)]
    for _ in range(config.depth - 1):
        layers += [nn.ReLU(inplace=True), PackedConv2d(channels_out, channels_out, config.kernel_size)]
    return nn.Sequential(*layers)


def kernels(branch: nn.Sequential) -> list[Tensor]:
    """Return the weights of a branch's convolutions, in order."""
    return [layer.weight for layer in branch if isinstance(layer, PackedConv2d)]
