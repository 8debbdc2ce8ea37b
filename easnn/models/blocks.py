"""The layers of backbone, feature pyramid and head.

Whether a layer spikes depends on its :class:`UnitSpec`. Convolutions, norms and pooling see
``[T·B, C, H, W]``, time first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from easnn.kernels import (
    default_kernels,
    is_spike_convolution,
    is_winograd_convolution,
    native_spike_conv,
    native_winograd_conv,
)
from easnn.models.neurons import ParametricLIF
from easnn.models.norm import batch_norm


@dataclass(frozen=True)
class UnitSpec:
    """The settings that the convolution units of one part of the network share.

    Attributes:
        activation: builds the activation of a unit; each spiking unit has neurons of its own.
        repeats: number of identical time steps that are computed once, up to the first neurons.
        spikes_in: whether the inputs are spikes, or sums of few of them.
        separable: whether 3×3 convolutions are split into a depthwise and a pointwise one.
        recomputed: whether the layers are computed again in the backward pass, see
            :mod:`easnn.models.activation_checkpointing`.
    """

    activation: Callable[[], nn.Module]
    repeats: int = 1
    spikes_in: bool = False
    separable: bool = False
    recomputed: bool = False


class ConvUnit(nn.Module):
    """Convolution without bias, batch norm (over time, batch and space), activation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: side of the kernel.
        spec: activation, and time steps that are computed once.
        stride: stride of the convolution.
        padding: zeros at each border; by default, the size stays the same at stride 1.
        groups: groups of channels, each convolved on its own.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        spec: UnitSpec,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
    ) -> None:
        super().__init__()
        padding = (kernel_size - 1) // 2 if padding is None else padding
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False
        )
        self.bn: nn.Module = batch_norm(out_channels, spec.repeats)
        self.act = spec.activation()
        self.spikes_in = spec.spikes_in
        self.recomputed = spec.recomputed
        self.kernels = default_kernels()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[S·B, C, H, W]`` to ``[T·B, C', H', W']``; T > S only at the first neurons."""
        current = self._convolve(x)
        if isinstance(self.act, ParametricLIF):
            return self.act(current, self.bn)
        return self.act(self.bn(current))

    def _convolve(self, x: Tensor) -> Tensor:
        if not self.spikes_in:
            if is_winograd_convolution(self.kernels, self.conv, x):
                return native_winograd_conv(self.conv, x)
            return self.conv(x)
        if is_spike_convolution(self.kernels, self.conv, x):
            return native_spike_conv(self.conv, x)
        # What hooks in a recomputed layer save would be kept in spite of the recomputation.
        with nullcontext() if self.recomputed and self.training else saved_as_bytes(x):
            return self.conv(x)


def saved_as_bytes(spikes: Tensor) -> AbstractContextManager[None]:
    """Let operations save ``spikes``, integers up to 255, in one byte each for the backward pass.

    Spikes are floating-point numbers, because convolutions of these are the fastest. Saved like
    this, they take a quarter of the memory, and the gradients stay the same.
    """
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return nullcontext()

    # The hooks live until the backward pass, so they must not hold the spikes themselves.
    address, dtype = spikes.data_ptr(), spikes.dtype

    def pack(saved: Tensor) -> Tensor:
        same = saved.data_ptr() == address and saved.dtype is dtype
        return saved.to(torch.uint8) if same else saved

    def unpack(saved: Tensor) -> Tensor:
        return saved.to(dtype) if saved.dtype is torch.uint8 else saved

    return torch.autograd.graph.saved_tensors_hooks(pack, unpack)


class SeparableUnit(nn.Module):
    """A depthwise 3×3 unit, then a pointwise 1×1 unit (YOLOX's ``DWConv``).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        spec: settings of the 3×3 unit.
        pointwise_spec: settings of the 1×1 unit.
        stride: stride of the 3×3 unit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spec: UnitSpec,
        pointwise_spec: UnitSpec,
        stride: int,
    ) -> None:
        super().__init__()
        self.depthwise = ConvUnit(in_channels, in_channels, 3, spec, stride, groups=in_channels)
        self.pointwise = ConvUnit(in_channels, out_channels, 1, pointwise_spec)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[S·B, C, H, W]`` to ``[T·B, C', H', W']``, as :class:`ConvUnit` does."""
        return self.pointwise(self.depthwise(x))


def spatial_unit(
    in_channels: int,
    out_channels: int,
    spec: UnitSpec,
    stride: int = 1,
    after: UnitSpec | None = None,
) -> nn.Module:
    """Return a 3×3 unit: one convolution, or a separable one, as ``spec`` says.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        spec: settings of the unit.
        stride: stride of the convolution.
        after: settings of the layers after the unit's first activation; by default the same.
    """
    if spec.separable:
        return SeparableUnit(in_channels, out_channels, spec, after or spec, stride)
    return ConvUnit(in_channels, out_channels, 3, spec, stride)


class Focus(nn.Module):
    """Space to depth, then a 3×3 unit.

    The four pixels of a 2×2 cell are stacked in the order top-left, bottom-left, top-right,
    bottom-right.
    """

    def __init__(self, in_channels: int, out_channels: int, spec: UnitSpec) -> None:
        super().__init__()
        self.conv = ConvUnit(4 * in_channels, out_channels, 3, spec)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to ``[B, C', H/2, W/2]``."""
        pixels = [x[..., dy::2, dx::2] for dx in (0, 1) for dy in (0, 1)]
        return self.conv(torch.cat(pixels, dim=1))


class Bottleneck(nn.Module):
    """A 1×1 and a 3×3 unit; ``shortcut`` adds the input, so sums of spikes can exceed 1."""

    def __init__(self, channels: int, spec: UnitSpec, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = ConvUnit(channels, channels, 1, spec)
        self.conv2 = spatial_unit(channels, channels, spec)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T·B, C, H, W]`` to the same shape."""
        out: Tensor = self.conv2(self.conv1(x))
        return out + x if self.shortcut else out


class CSPLayer(nn.Module):
    """Cross-stage partial layer: half of the channels pass bottlenecks, half skip them."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        blocks: int,
        spec: UnitSpec,
        shortcut: bool = True,
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.deep = ConvUnit(in_channels, half, 1, spec)
        self.blocks = nn.Sequential(*[Bottleneck(half, spec, shortcut) for _ in range(blocks)])
        self.skip = ConvUnit(in_channels, half, 1, spec)
        self.merge = ConvUnit(2 * half, out_channels, 1, spec)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T·B, C, H, W]`` to ``[T·B, C', H, W]``."""
        return self.merge(torch.cat((self.blocks(self.deep(x)), self.skip(x)), dim=1))


class SPP(nn.Module):
    """Spatial pyramid pooling: the features and their maxima over squares of side 5, 9 and 13."""

    def __init__(self, channels: int, spec: UnitSpec, sides: tuple[int, ...] = (5, 9, 13)) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = ConvUnit(channels, half, 1, spec)
        self.pools = nn.ModuleList(
            [nn.MaxPool2d(side, stride=1, padding=side // 2) for side in sides]
        )
        self.merge = ConvUnit(half * (len(sides) + 1), channels, 1, spec)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T·B, C, H, W]`` to the same shape."""
        x = self.reduce(x)
        return self.merge(torch.cat((x, *[pool(x) for pool in self.pools]), dim=1))


def mean_over_time(x: Tensor, T: int) -> Tensor:
    """Average ``[T·B, ...]``, time first, to ``[B, ...]``."""
    return x.reshape(T, -1, *x.shape[1:]).mean(dim=0)
