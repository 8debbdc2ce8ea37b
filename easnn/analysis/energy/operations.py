"""The synapses of a convolution, and the operations and energy of its inputs.

A kernel tap on the padding is not a synapse. So an input at the border is connected to fewer
outputs than one in the middle, and with a stride not all inputs have the same number of synapses.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from easnn.models.embedding.packed import PackedConv2d, unpack

AC_PJ, MAC_PJ = 0.9, 4.6
"""Energy of an accumulate and a multiply-accumulate, float32 in 45 nm (Horowitz, ISSCC 2014)."""


def energy_pj(accumulates: float, macs: float) -> float:
    """Return the energy of operations in pJ."""
    return AC_PJ * accumulates + MAC_PJ * macs


@dataclass(frozen=True, kw_only=True)
class LayerOperations:
    """Operations of a convolution; numbers of operations and runs are means over the frames.

    Attributes:
        name: its name in the model.
        shape: channels, kernel and stride, e.g. ``64→128 3×3/2``.
        spikes: whether its input is spikes or sums of spikes, so that it accumulates.
        runs: number of images convolved per frame: time steps, sampling steps, or 1.
        input_rate: spikes per input value; None if the input is not spikes.
        input_nonzero: share of nonzero input values.
        input_most: largest input value in any frame.
        accumulates: accumulate operations; k for a sum of k spikes.
        accumulates_nonzero: the same, but 1 for a sum of spikes.
        macs: multiply-accumulate operations.
        synapses: ``macs`` if the input were not spikes.
        padded: ``macs`` if the input were not spikes and padding were multiplied as well.
    """

    name: str
    shape: str
    spikes: bool
    runs: float
    input_rate: float | None
    input_nonzero: float
    input_most: float
    accumulates: float
    accumulates_nonzero: float
    macs: float
    synapses: float
    padded: float

    @property
    def part(self) -> str:
        """The part of the detector that the convolution belongs to."""
        return self.name.split(".")[0]

    @property
    def energy_pj(self) -> float:
        """Energy of the operations in pJ."""
        return energy_pj(self.accumulates, self.macs)


class OperationCount:
    """Accumulates the operations of a convolution.

    Args:
        conv: the convolution.
        spikes: whether its input is spikes or sums of them.
    """

    def __init__(self, conv: nn.Conv2d, *, spikes: bool) -> None:
        self._conv, self._spikes = conv, spikes
        self._images = self._values = self._nonzero = 0
        self._total = self._most = 0.0
        self._accumulates = self._accumulates_nonzero = self._synapses = self._padded = 0

    def add(self, input: Tensor, output: Tensor) -> None:
        """Add a forward pass, given its input and output."""
        conv = self._conv
        images, results = unpacked(conv, input), unpacked(conv, output)
        not_zero = images != 0
        self._images += len(images)
        self._values += images.numel()
        self._nonzero += int(not_zero.sum())
        self._total += float(images.sum(dtype=torch.float64))
        self._most = max(self._most, float(images.max()))
        self._synapses += multiply_accumulates(conv, images)
        self._padded += padded_macs(conv, results)
        if self._spikes:
            self._accumulates += accumulates(conv, images)
            self._accumulates_nonzero += accumulates(conv, not_zero)

    def per_frame(self, name: str, frames: int) -> LayerOperations:
        """Return the means over the frames of the convolution called ``name``."""
        return LayerOperations(
            name=name,
            shape=describe_conv(self._conv),
            spikes=self._spikes,
            runs=self._images / frames,
            input_rate=self._total / self._values if self._spikes else None,
            input_nonzero=self._nonzero / self._values,
            input_most=self._most,
            accumulates=self._accumulates / frames,
            accumulates_nonzero=self._accumulates_nonzero / frames,
            macs=0.0 if self._spikes else self._synapses / frames,
            synapses=self._synapses / frames,
            padded=self._padded / frames,
        )


def fan_out(conv: nn.Conv2d, hw: tuple[int, int]) -> Tensor:
    """Return the number of outputs connected to each position of an input channel, int64 [H, W].

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
    """Return Σ s·fan-out over all inputs s of ``spikes`` ``[N, C, H, W]``, which are integers.

    An input of k stands for k spikes, each of which is one accumulate per synapse.
    """
    per_position = spikes.sum(dim=(0, 1), dtype=torch.float64)
    return int((per_position * fan_out(conv, _hw(spikes)).to(spikes.device)).sum())


def multiply_accumulates(conv: nn.Conv2d, images: Tensor) -> int:
    """Return the number of synapses of ``images`` ``[N, C, H, W]``: one operation each."""
    return len(images) * conv.in_channels * int(fan_out(conv, _hw(images)).sum())


def padded_macs(conv: nn.Conv2d, outputs: Tensor) -> int:
    """Return outputs × kernel taps, the usual formula, which also counts padding."""
    return outputs.numel() * conv.weight[0].numel()


def unpacked(conv: nn.Conv2d, images: Tensor) -> Tensor:
    """Return an input or output of ``conv`` by pixel, as the embedding packs blocks of 2×2.

    Operations are counted between pixels. The zeros in a packed kernel are an implementation
    detail.
    """
    return unpack(images) if isinstance(conv, PackedConv2d) else images


def describe_conv(conv: nn.Conv2d) -> str:
    """Return channels, kernel, stride and groups, e.g. ``64→128 3×3/2``."""
    (height, width), stride = conv.kernel_size, conv.stride[0]
    strides = f"/{stride}" if stride > 1 else ""
    groups = f" in {conv.groups} groups" if conv.groups > 1 else ""
    return f"{conv.in_channels}→{conv.out_channels} {height}×{width}{strides}{groups}"


def _reached(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """Return the number of outputs with a tap on each input position, along one axis."""
    outputs = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    taps = torch.arange(outputs)[:, None] * stride + torch.arange(kernel) * dilation - padding
    return torch.bincount(taps[(taps >= 0) & (taps < size)], minlength=size)


def _hw(images: Tensor) -> tuple[int, int]:
    height, width = images.shape[-2:]
    return height, width
