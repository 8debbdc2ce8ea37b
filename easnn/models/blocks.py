"""What backbone, feature pyramid and head are made of.

A block spikes or not by the style it is given. Convolutions, norms and pooling see ``[T·B, C, H, W]``, time
first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from easnn.models.norm import batch_norm


@dataclass(frozen=True)
class Style:
    """What the units of one part of the network have in common.

    Attributes:
        activation: makes the activation of a unit; each spiking unit has neurons of its own.
        repeats: identical time steps that each frame stands for, where they are still one computation.
        separable: whether 3×3 convolutions are split into a depthwise and a pointwise one.
    """

    activation: Callable[[], nn.Module]
    repeats: int = 1
    separable: bool = False


class ConvUnit(nn.Module):
    """Convolution without bias, batch norm (over time, batch and space), activation.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        kernel_size: side of the kernel.
        style: activation, and time steps per frame.
        stride: of the convolution.
        padding: zeros at each border; by default those that keep the size at stride 1.
        groups: of channels that are convolved each by themselves.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel_size: int,
        style: Style,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
    ) -> None:
        super().__init__()
        padding = (kernel_size - 1) // 2 if padding is None else padding
        self.conv = nn.Conv2d(
            channels_in, channels_out, kernel_size, stride, padding, groups=groups, bias=False
        )
        self.bn: nn.Module = batch_norm(channels_out, style.repeats)
        self.act = style.activation()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[S·B, C, H, W]`` to ``[T·B, C', H', W']``; T > S only where identical time steps part."""
        out: Tensor = self.act(self.bn(self.conv(x)))
        return out


class SeparableUnit(nn.Module):
    """A 3×3 unit that keeps channels apart, then a 1×1 unit that mixes them (YOLOX's ``DWConv``).

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        style: of the 3×3 unit.
        pointwise_style: of the 1×1 unit.
        stride: of the 3×3 unit.
    """

    def __init__(
        self, channels_in: int, channels_out: int, style: Style, pointwise_style: Style, stride: int
    ) -> None:
        super().__init__()
        self.depthwise = ConvUnit(channels_in, channels_in, 3, style, stride, groups=channels_in)
        self.pointwise = ConvUnit(channels_in, channels_out, 1, pointwise_style)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[S·B, C, H, W]`` to ``[T·B, C', H', W']``, as :class:`ConvUnit` does."""
        out: Tensor = self.pointwise(self.depthwise(x))
        return out


def spatial_unit(
    channels_in: int, channels_out: int, style: Style, stride: int = 1, after: Style | None = None
) -> nn.Module:
    """Return the 3×3 unit of a style: one convolution, or a separable one.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        style: of the unit.
        stride: of the convolution.
        after: style of what follows the unit's first activation; by default the same.
    """
    if style.separable:
        return SeparableUnit(channels_in, channels_out, style, after or style, stride)
    return ConvUnit(channels_in, channels_out, 3, style, stride)


class Focus(nn.Module):
    """Space to depth, then a 3×3 unit.

    The four pixels of a 2×2 cell are stacked in the order top-left, bottom-left, top-right, bottom-right.
    """

    def __init__(self, channels_in: int, channels_out: int, style: Style) -> None:
        super().__init__()
        self.conv = ConvUnit(4 * channels_in, channels_out, 3, style)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to ``[B, C', H/2, W/2]``."""
        pixels = [x[..., dy::2, dx::2] for dx in (0, 1) for dy in (0, 1)]
        out: Tensor = self.conv(torch.cat(pixels, dim=1))
        return out


class Bottleneck(nn.Module):
    """A 1×1 and a 3×3 unit; with ``shortcut`` the input is added, so spikes may add up to more than 1."""

    def __init__(self, channels: int, style: Style, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = ConvUnit(channels, channels, 1, style)
        self.conv2 = spatial_unit(channels, channels, style)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T·B, C, H, W]`` to the same shape."""
        out: Tensor = self.conv2(self.conv1(x))
        return out + x if self.shortcut else out


class CSPLayer(nn.Module):
    """Cross-stage partial layer: half of the channels pass bottlenecks, half skip them, all are merged."""

    def __init__(
        self, channels_in: int, channels_out: int, blocks: int, style: Style, shortcut: bool = True
    ) -> None:
        super().__init__()
        half = channels_out // 2
        self.deep = ConvUnit(channels_in, half, 1, style)
        self.blocks = nn.Sequential(*[Bottleneck(half, style, shortcut) for _ in range(blocks)])
        self.skip = ConvUnit(channels_in, half, 1, style)
        self.merge = ConvUnit(2 * half, channels_out, 1, style)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T·B, C, H, W]`` to ``[T·B, C', H, W]``."""
        out: Tensor = self.merge(torch.cat((self.blocks(self.deep(x)), self.skip(x)), dim=1))
        return out


class SPP(nn.Module):
    """Spatial pyramid pooling: the features beside their maxima over squares of side 5, 9 and 13."""

    def __init__(self, channels: int, style: Style, sides: tuple[int, ...] = (5, 9, 13)) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = ConvUnit(channels, half, 1, style)
        self.pools = nn.ModuleList([nn.MaxPool2d(side, stride=1, padding=side // 2) for side in sides])
        self.merge = ConvUnit(half * (len(sides) + 1), channels, 1, style)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T·B, C, H, W]`` to the same shape."""
        x = self.reduce(x)
        out: Tensor = self.merge(torch.cat((x, *[pool(x) for pool in self.pools]), dim=1))
        return out


def mean_over_time(x: Tensor, T: int) -> Tensor:
    """Average ``[T·B, ...]``, time first, to ``[B, ...]``."""
    return x.reshape(T, -1, *x.shape[1:]).mean(dim=0)
