"""Convolutions of very few channels, computed on 2×2 pixels at once.

The branches of an embedding have two or four channels at the full resolution, which leaves most of a machine
idle. With each 2×2 cell of pixels packed into channels, they are convolutions of four times the channels on a
quarter of the positions: the same sums, about 2.5 times as fast on a CPU. What is done pixel by pixel
between two convolutions does not see the difference.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

CELL = 2


def pack(pixels: Tensor) -> Tensor:
    """Stack the pixels of each cell: ``[..., C, H, W]`` → ``[..., 4·C, H/2, W/2]``, channel by channel."""
    return functional.pixel_unshuffle(pixels, CELL)


def unpack(cells: Tensor) -> Tensor:
    """Undo :func:`pack`."""
    return functional.pixel_shuffle(cells, CELL)


class PackedConv2d(nn.Conv2d):
    """A convolution of odd kernel and stride 1 that keeps the size, between packed images.

    Its weights are those of the convolution between the images themselves.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int) -> None:
        super().__init__(channels_in, channels_out, kernel_size, padding=kernel_size // 2)

    def forward(self, cells: Tensor) -> Tensor:
        """Convolve ``[B, 4·C_in, h, w]`` to ``[B, 4·C_out, h, w]``."""
        k, reach = self.kernel_size[0], (self.kernel_size[0] // 2 + 1) // CELL
        span = CELL * (2 * reach + 1)
        # For each pixel of a cell: where the kernel lies in the cells that it reaches.
        before = [CELL * reach - k // 2 + offset for offset in range(CELL)]
        shifted = [
            functional.pad(self.weight, (x, span - k - x, y, span - k - y)) for y in before for x in before
        ]
        weight = pack(torch.stack(shifted, dim=1)).flatten(0, 1)
        assert self.bias is not None
        bias = self.bias.repeat_interleave(CELL**2)
        return functional.conv2d(cells, weight.contiguous(memory_format=torch.channels_last), bias, padding=reach)
