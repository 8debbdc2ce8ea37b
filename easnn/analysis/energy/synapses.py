"""The synapses of a convolution: which there are, and which of them an input uses.

A tap of the kernel that lies on the padding is no synapse. So an input at a border reaches fewer
outputs than one in the middle, and with a stride not every input reaches equally many.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easnn.models.embedding.packed import PackedConv2d, unpack


def fan_out(conv: nn.Conv2d, hw: tuple[int, int]) -> Tensor:
    """Return to how many outputs each position of an input channel is connected: ``[H, W]`` int64.

    Args:
        conv: the convolution; its padding is zeros, given in pixels.
        hw: height and width of its input.
    """
    assert not isinstance(conv.padding, str)
    rows, columns = (
        _reached(*axis)
        for axis in zip(hw, conv.kernel_size, conv.stride, conv.padding, conv.dilation, strict=True)
    )
    return torch.outer(rows, columns) * (conv.out_channels // conv.groups)


def accumulates(conv: nn.Conv2d, spikes: Tensor) -> int:
    """Return Σ s·fan-out over all inputs s of ``spikes`` ``[N, C, H, W]``, which are whole numbers.

    An input of k stands for k spikes, which arrive at each synapse: k accumulates.
    """
    per_position = spikes.sum(dim=(0, 1), dtype=torch.float64)
    return int((per_position * fan_out(conv, _hw(spikes)).to(spikes.device)).sum())


def multiply_accumulates(conv: nn.Conv2d, images: Tensor) -> int:
    """Return how many synapses ``images`` ``[N, C, H, W]`` meet, whatever they hold: one operation each."""
    return len(images) * conv.in_channels * int(fan_out(conv, _hw(images)).sum())


def padded_macs(conv: nn.Conv2d, outputs: Tensor) -> int:
    """Return outputs × taps of the kernel, the usual formula, in which padding is multiplied, too."""
    return outputs.numel() * conv.weight[0].numel()


def unpacked(conv: nn.Conv2d, images: Tensor) -> Tensor:
    """Return an input or output of ``conv`` pixel by pixel: the embedding's convolutions pack 2×2 of them.

    The operations are those of the convolution between the pixels; the zeros in its packed kernel
    are a way to compute it.
    """
    return unpack(images) if isinstance(conv, PackedConv2d) else images


def describe_conv(conv: nn.Conv2d) -> str:
    """Return channels, kernel, stride and groups, e.g. ``64→128 3×3/2``."""
    (height, width), stride = conv.kernel_size, conv.stride[0]
    strides = f"/{stride}" if stride > 1 else ""
    groups = f" in {conv.groups} groups" if conv.groups > 1 else ""
    return f"{conv.in_channels}→{conv.out_channels} {height}×{width}{strides}{groups}"


def _reached(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """Return, along one axis, how many outputs have a tap on each input position."""
    outputs = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    taps = torch.arange(outputs)[:, None] * stride + torch.arange(kernel) * dilation - padding
    return torch.bincount(taps[(taps >= 0) & (taps < size)], minlength=size)


def _hw(images: Tensor) -> tuple[int, int]:
    height, width = images.shape[-2:]
    return height, width
