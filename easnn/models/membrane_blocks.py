"""Blocks with membrane shortcuts: neurons, then convolution, then norm.

What these blocks pass on are currents: the inputs of neurons, to which the shortcuts are added. So
every convolution at the start of a branch sees spikes, and no sums. In a part of the network that
does not spike, the activations take the place of the neurons.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from easnn.models.blocks import ConvUnit, UnitSpec

SMALL_SCALE = 0.2
"""Initial scale of the norm that ends a branch beside a shortcut (SpikSSD)."""


def entry(spec: UnitSpec) -> nn.Module:
    """Return an activation that leaves its input as it is, because a shortcut needs it, too."""
    activation = spec.activation()
    if isinstance(activation, nn.SiLU | nn.ReLU | nn.LeakyReLU):
        activation.inplace = False
    return activation


def branch(spec: UnitSpec, *units: nn.Module, scale: float = 1.0) -> nn.Sequential:
    """Return neurons and the units behind them, which map currents to currents.

    Args:
        spec: settings of the neurons.
        units: convolution units; the last has no activation.
        scale: initial scale of the norm of the last unit.
    """
    last = units[-1]
    assert isinstance(last, ConvUnit)
    assert isinstance(last.bn, nn.BatchNorm2d)
    nn.init.constant_(last.bn.weight, scale)
    return nn.Sequential(entry(spec), *units)


class FactoredUnit(ConvUnit):
    """A unit whose 3×3 convolution is a product: 1×1, depthwise 3×3 and, if wanted, 1×1.

    There is nothing between the factors, so they are one 3×3 convolution of the spikes, into which
    :func:`~easnn.models.fuse.fuse` multiplies them (re-parameterisation, as in SpikeYOLO). The
    published unit has a norm behind the first factor and pads with what that norm makes of zero.
    With this padding, scale and shift of the norm can be moved into the other factors and the last
    norm: the functions are the same ones, with fewer numbers.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        spec: settings of the unit.
        pointwise: whether there is a second 1×1 convolution. With it, the depthwise one has
            ``in_channels``, without it ``out_channels``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, spec: UnitSpec, *, pointwise: bool
    ) -> None:
        super().__init__(in_channels, out_channels, 1, spec)
        inner = in_channels if pointwise else out_channels
        self.conv = nn.Conv2d(in_channels, inner, 1, bias=False)
        self.depthwise: nn.Module = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False)
        self.pointwise: nn.Module = (
            nn.Conv2d(inner, out_channels, 1, bias=False) if pointwise else nn.Identity()
        )
        for factor in (self.conv, self.depthwise, self.pointwise):
            if isinstance(factor, nn.Conv2d):  # the product keeps the variance of its input
                nn.init.kaiming_normal_(factor.weight, nonlinearity="linear")

    def product(self) -> Tensor:
        """Return the kernel of the 3×3 convolution that the factors are, ``[C', C, 3, 3]``."""
        assert isinstance(self.depthwise, nn.Conv2d)
        # [inner, C, 3, 3]
        kernel = self.depthwise.weight * self.conv.weight
        if isinstance(self.pointwise, nn.Conv2d):
            kernel = torch.einsum("om,mikl->oikl", self.pointwise.weight[..., 0, 0], kernel)
        return kernel

    def _is_one_pass(self, x: Tensor) -> bool:
        return isinstance(self.depthwise, nn.Identity) and super()._is_one_pass(x)

    def _convolve(self, x: Tensor) -> Tensor:
        current: Tensor = self.pointwise(self.depthwise(super()._convolve(x)))
        return current


class MDSBlock(nn.Module):
    """The block of SpikSSD, whose shortcut is changed, too (membrane-based deformed shortcut).

    ::

        m ← BN(3×3(N(BN(3×3(N(m)))))) + shortcut       C → C'/2 → C'; the last BN starts with 0.2
        shortcut = max(m) beside BN(1×1(N(max(m))))    at stride 2, from C to C' > C channels
        shortcut = BN(1×1(N(m)))                       of equal width

    with N the neurons and max the maximum of each 2×2 square (at stride 1, m itself).

    Args:
        in_channels: channels C of the input.
        out_channels: channels C' of the output.
        spec: settings of all units.
        stride: 1 or 2.
    """

    def __init__(self, in_channels: int, out_channels: int, spec: UnitSpec, stride: int) -> None:
        super().__init__()
        self.keeps = out_channels > in_channels
        half, inner = max(out_channels // 2, 1), replace(spec, narrow=True)
        self.residual = branch(
            spec,
            ConvUnit(in_channels, half, 3, inner, stride),
            ConvUnit(half, out_channels, 3, spec.currents),
            scale=SMALL_SCALE,
        )
        self.pool = nn.MaxPool2d(stride) if stride > 1 else nn.Identity()
        new_channels = out_channels - in_channels if self.keeps else out_channels
        self.shortcut = branch(spec, ConvUnit(in_channels, new_channels, 1, spec.currents))

    def forward(self, current: Tensor) -> Tensor:
        """Map currents ``[T·B, C, H, W]`` to ``[T·B, C', H/stride, W/stride]``."""
        pooled = self.pool(current)
        shortcut = self.shortcut(pooled)
        if self.keeps:
            shortcut = torch.cat((pooled, shortcut), dim=1)
        out: Tensor = self.residual(current) + shortcut
        return out


class MetaBlock(nn.Module):
    """The block of SpikeYOLO: first it mixes pixels, then channels, each beside a shortcut.

    ::

        m ← m + BN(F(N(BN(depthwise 7×7(N(BN(1×1(N(m)))))))))    C → 2·C → 2·C → C
        m ← m + BN(K(N(BN(K(N(m))))))                            C → expansion·C → C

    F is 1×1 and depthwise 3×3; K is 3×3, or if ``factored`` 1×1, depthwise 3×3 and 1×1
    (:class:`FactoredUnit`).

    Args:
        channels: C.
        expansion: of the channels between the two convolutions that mix channels.
        spec: settings of all units.
        factored: whether these convolutions are factored.
    """

    def __init__(self, channels: int, expansion: int, spec: UnitSpec, *, factored: bool) -> None:
        super().__init__()
        wide, hidden = 2 * channels, expansion * channels
        inner = replace(spec, narrow=True)
        self.pixels = branch(
            spec,
            ConvUnit(channels, wide, 1, inner),
            ConvUnit(wide, wide, 7, inner, groups=wide),
            FactoredUnit(wide, channels, spec.currents, pointwise=False),
        )
        if factored:
            self.channels = branch(
                spec,
                FactoredUnit(channels, hidden, inner, pointwise=True),
                FactoredUnit(hidden, channels, spec.currents, pointwise=True),
            )
        else:
            self.channels = branch(
                spec,
                ConvUnit(channels, hidden, 3, inner),
                ConvUnit(hidden, channels, 3, spec.currents),
            )

    def forward(self, current: Tensor) -> Tensor:
        """Map currents ``[T·B, C, H, W]`` to the same shape."""
        current = current + self.pixels(current)
        out: Tensor = current + self.channels(current)
        return out
