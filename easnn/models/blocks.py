"""The layers of backbone, feature pyramid and head.

Whether a layer spikes depends on its :class:`UnitSpec`. Convolutions, norms and pooling see
``[T·B, C, H, W]``, time first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from easnn.kernels import (
    amx_spiking_unit,
    computes_natively,
    default_kernels,
    has_hooks,
    is_one_pass_convolution,
    is_spike_convolution,
    is_winograd_convolution,
    native_norm_silu,
    native_spike_conv,
    native_winograd_conv,
)
from easnn.models.neurons import ParametricLIF, SpikingNeurons, is_inlined
from easnn.models.norm import batch_norm, native_statistics


@dataclass(frozen=True)
class UnitSpec:
    """The settings that the convolution units of one part of the network share.

    Attributes:
        activation: builds the activation of a unit; each spiking unit has neurons of its own.
        repeats: number of identical time steps that are computed once, up to the first neurons.
        spikes_in: whether the inputs are spikes, or sums of few of them.
        separable: whether 3×3 convolutions are split into a depthwise and a pointwise one.
        narrow: whether nothing but units, sums and maxima read the spikes. Then they may be
            bfloat16, which holds them exactly, where no gradient is needed.
        recomputed: whether the layers are computed again in the backward pass, see
            :mod:`easnn.models.activation_checkpointing`.
        membrane: whether residuals add what goes into neurons instead of what comes out of them.
    """

    activation: Callable[[], nn.Module]
    repeats: int = 1
    spikes_in: bool = False
    separable: bool = False
    narrow: bool = False
    recomputed: bool = False
    membrane: bool = False

    @property
    def currents(self) -> UnitSpec:
        """The settings of a unit without activation, whose outputs go into neurons later on."""
        return replace(self, activation=nn.Identity)


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
        self.narrow = spec.narrow
        self.recomputed = spec.recomputed
        self.kernels = default_kernels()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[S·B, C, H, W]`` to ``[T·B, C', H', W']``; T > S only at the first neurons."""
        if self._is_one_pass(x):
            return self._one_pass(x)
        current = self._convolve(x)
        if isinstance(self.act, SpikingNeurons):
            return self.act(current, self.bn)
        if self._is_norm_silu(current):
            return self._norm_silu(current)
        return self.act(self.bn(current))

    def _is_norm_silu(self, current: Tensor) -> bool:
        return (
            type(self.act) is nn.SiLU
            and computes_natively(self.kernels, current)
            and current.is_contiguous(memory_format=torch.channels_last)
            and is_inlined(self.bn, current)
            and not has_hooks(self.act)
        )

    def _norm_silu(self, current: Tensor) -> Tensor:
        norm = self.bn if isinstance(self.bn, nn.BatchNorm2d) else None
        return native_norm_silu(
            current,
            norm=None if norm is None else (norm.weight, norm.bias),
            statistics=None if norm is None else native_statistics(norm, current),
            overwrite=not has_hooks(self.conv),
        )

    def _is_one_pass(self, x: Tensor) -> bool:
        """Return whether one kernel computes all, which keeps nothing for a backward pass."""
        return (
            self.spikes_in
            and not torch.is_grad_enabled()
            and not self.bn.training
            and isinstance(self.act, ParametricLIF)
            and self.act.repeats == 1
            and not has_hooks(self.act)
            and is_inlined(self.bn, x)
            and is_one_pass_convolution(self.kernels, self.conv, x)
        )

    def _one_pass(self, x: Tensor) -> Tensor:
        norm, neurons = self.bn if isinstance(self.bn, nn.BatchNorm2d) else None, self.act
        assert isinstance(neurons, ParametricLIF)
        return amx_spiking_unit(
            self.conv,
            x,
            neurons.w.sigmoid().item(),
            neurons.T,
            dtype=torch.bfloat16 if self.narrow else torch.float32,
            norm=None if norm is None else (norm.weight, norm.bias),
            statistics=None if norm is None else native_statistics(norm, x),
        )

    def _convolve(self, x: Tensor) -> Tensor:
        if not self.spikes_in:
            if is_winograd_convolution(self.kernels, self.conv, x):
                return native_winograd_conv(self.conv, x)
            return self.conv(x)
        if x.dtype is torch.bfloat16 and not torch.is_autocast_enabled(x.device.type):
            x = x.to(self.conv.weight.dtype)  # narrow spikes
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
    """A 1×1 and a 3×3 unit; ``shortcut`` adds the input.

    The input is spikes, so sums of spikes can exceed 1. With membrane shortcuts, it is what goes
    into neurons, and so is the output: the neurons of the block are before its convolutions, and
    these see spikes only.
    """

    def __init__(self, channels: int, spec: UnitSpec, shortcut: bool) -> None:
        super().__init__()
        membrane = shortcut and spec.membrane
        last = spec.currents if membrane else spec
        self.enter = spec.activation() if membrane else nn.Identity()
        self.conv1 = ConvUnit(channels, channels, 1, spec)
        first = spec if spec.separable else last
        self.conv2 = spatial_unit(channels, channels, first, after=last)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T·B, C, H, W]`` to the same shape."""
        out: Tensor = self.conv2(self.conv1(self.enter(x)))
        return out + x if self.shortcut else out


class CSPLayer(nn.Module):
    """Cross-stage partial layer: half of the channels pass bottlenecks, half skip them.

    With membrane shortcuts, the neurons of the first unit are behind the bottlenecks instead.
    ``after`` holds the settings of the last unit; by default, they are those of the others.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        blocks: int,
        spec: UnitSpec,
        shortcut: bool = True,
        after: UnitSpec | None = None,
    ) -> None:
        super().__init__()
        half = out_channels // 2
        membrane = shortcut and spec.membrane
        self.deep = ConvUnit(in_channels, half, 1, spec.currents if membrane else spec)
        leave = [spec.activation()] if membrane else []
        bottlenecks = [Bottleneck(half, spec, shortcut) for _ in range(blocks)]
        self.blocks = nn.Sequential(*bottlenecks, *leave)
        self.skip = ConvUnit(in_channels, half, 1, spec)
        self.merge = ConvUnit(2 * half, out_channels, 1, after or spec)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T·B, C, H, W]`` to ``[T·B, C', H, W]``."""
        return self.merge(torch.cat((self.blocks(self.deep(x)), self.skip(x)), dim=1))


class SPP(nn.Module):
    """Spatial pyramid pooling: the features and their maxima over squares of side 5, 9 and 13."""

    def __init__(self, channels: int, spec: UnitSpec, sides: tuple[int, ...] = (5, 9, 13)) -> None:
        super().__init__()
        half = channels // 2
        self.sides = sides
        self.reduce = ConvUnit(channels, half, 1, spec)
        self.pools = nn.ModuleList(
            [nn.MaxPool2d(side, stride=1, padding=side // 2) for side in sides]
        )
        self.merge = ConvUnit(half * (len(sides) + 1), channels, 1, spec)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T·B, C, H, W]`` to the same shape."""
        x = self.reduce(x)
        return self.merge(torch.cat((x, *self._maxima(x)), dim=1))

    def _maxima(self, x: Tensor) -> list[Tensor]:
        if torch.is_grad_enabled() or any(map(has_hooks, self.pools)):
            return [pool(x) for pool in self.pools]
        # A maximum over a larger square is one of those over smaller squares. Since equal values
        # would share the gradient in another way, this is for inference only.
        maxima = []
        for before, side in pairwise((1, *self.sides)):
            step = side - before + 1
            x = functional.max_pool2d(x, step, stride=1, padding=step // 2)
            maxima.append(x)
        return maxima


def mean_over_time(x: Tensor, T: int) -> Tensor:
    """Average ``[T·B, ...]``, time first, to ``[B, ...]``; images stay channels last."""
    if (
        x.dim() == 4
        and x.is_contiguous(memory_format=torch.channels_last)
        and not x.is_contiguous()  # images of one pixel have both layouts
    ):
        # Of five axes, the result would have the default layout.
        return mean_over_time(x.permute(0, 2, 3, 1), T).permute(0, 3, 1, 2)
    return x.reshape(T, -1, *x.shape[1:]).mean(dim=0)
