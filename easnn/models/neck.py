"""The feature pyramids: PAFPN of YOLOX, and one that adds currents."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from easnn.models.activation_checkpointing import computed_again
from easnn.models.blocks import ConvUnit, CSPLayer, UnitSpec, spatial_unit
from easnn.models.membrane_blocks import SMALL_SCALE, branch, entry

Features = tuple[Tensor, Tensor, Tensor]


class PAFPN(nn.Module):
    """Combines the features of three strides: first from coarse to fine, then from fine to coarse.

    The numbers in the names are the pyramid's levels: 3, 4, 5 for strides 8, 16, 32.

    Args:
        channels: channels of the features at each level, input and output.
        blocks: bottlenecks per merging layer.
        spec: settings of all units. If they are ``recomputed``, each merging layer is computed
            again in the backward pass.
    """

    def __init__(self, channels: tuple[int, int, int], blocks: int, spec: UnitSpec) -> None:
        super().__init__()
        c3, c4, c5 = channels
        self.recomputed = spec.recomputed
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.lateral5 = ConvUnit(c5, c4, 1, spec)
        self.topdown4 = CSPLayer(2 * c4, c4, blocks, spec, shortcut=False)
        self.lateral4 = ConvUnit(c4, c3, 1, spec)
        self.topdown3 = CSPLayer(2 * c3, c3, blocks, spec, shortcut=False)
        self.down3 = spatial_unit(c3, c3, spec, stride=2)
        self.bottomup4 = CSPLayer(2 * c3, c4, blocks, spec, shortcut=False)
        self.down4 = spatial_unit(c4, c4, spec, stride=2)
        self.bottomup5 = CSPLayer(2 * c4, c5, blocks, spec, shortcut=False)

    def forward(self, features: Features) -> Features:
        """Map features ``[T·B, C, H, W]`` of strides 8, 16, 32 to features of the same shapes."""
        in3, in4, in5 = features
        lateral5 = self.lateral5(in5)
        lateral4 = self.lateral4(self._merge(self.topdown4, self.upsample(lateral5), in4))
        out3 = self._merge(self.topdown3, self.upsample(lateral4), in3)
        out4 = self._merge(self.bottomup4, self.down3(out3), lateral4)
        out5 = self._merge(self.bottomup5, self.down4(out4), lateral5)
        return out3, out4, out5

    def _merge(self, layer: nn.Module, *parts: Tensor) -> Tensor:
        merged = torch.cat(parts, dim=1)
        return computed_again(layer, merged) if self.recomputed else layer(merged)


class AdditiveFusion(nn.Module):
    """Adds the currents of three strides, from coarse to fine and back (SpikSSD's fusion).

    What comes in is currents, and what goes out is the spikes of the sums. Where it does not spike,
    activations take the place of the neurons. The numbers in the names are those of :class:`PAFPN`.

    Args:
        channels: channels of the features at each level, input and output.
        spec: settings of all units. If they are ``recomputed``, each mixing layer is computed again
            in the backward pass.
    """

    def __init__(self, channels: tuple[int, int, int], spec: UnitSpec) -> None:
        super().__init__()
        c3, c4, c5 = channels
        self.recomputed = spec.recomputed
        self.up5, self.up4 = _up(c5, c4, spec), _up(c4, c3, spec)
        self.down3, self.down4 = _down(c3, c4, spec), _down(c4, c5, spec)
        self.topdown4, self.topdown3 = FusionMix(c4, spec), FusionMix(c3, spec)
        self.bottomup4, self.bottomup5 = FusionMix(c4, spec), FusionMix(c5, spec)
        self.leave3, self.leave4, self.leave5 = entry(spec), entry(spec), entry(spec)

    def forward(self, features: Features) -> Features:
        """Map currents ``[T·B, C, H, W]`` of strides 8, 16, 32 to spikes of the same shapes."""
        in3, in4, in5 = features
        top4 = self._mix(self.topdown4, in4 + self.up5(in5))
        out3 = self._mix(self.topdown3, in3 + self.up4(top4))
        out4 = self._mix(self.bottomup4, top4 + self.down3(out3))
        out5 = self._mix(self.bottomup5, in5 + self.down4(out4))
        return self.leave3(out3), self.leave4(out4), self.leave5(out5)

    def _mix(self, layer: nn.Module, current: Tensor) -> Tensor:
        return computed_again(layer, current) if self.recomputed else layer(current)


class FusionMix(nn.Module):
    """Two 3×3 convolutions beside a separable one, each behind neurons.

    ::

        m ← BN(3×3(N(BN(3×3(N(m)))))) + BN(1×1(N(BN(depthwise 3×3(N(m))))))

    The last norm of the first branch starts with the scale 0.2.
    """

    def __init__(self, channels: int, spec: UnitSpec) -> None:
        super().__init__()
        inner = replace(spec, narrow=True)
        self.deep = branch(
            spec,
            ConvUnit(channels, channels, 3, inner),
            ConvUnit(channels, channels, 3, spec.currents),
            scale=SMALL_SCALE,
        )
        self.separable = branch(
            spec,
            ConvUnit(channels, channels, 3, inner, groups=channels),
            ConvUnit(channels, channels, 1, spec.currents),
        )

    def forward(self, current: Tensor) -> Tensor:
        """Map currents ``[T·B, C, H, W]`` to the same shape."""
        out: Tensor = self.deep(current) + self.separable(current)
        return out


def _up(in_channels: int, out_channels: int, spec: UnitSpec) -> nn.Sequential:
    # The published order is upsampling, neurons, convolution, norm. The four copies of a pixel stay
    # equal, so all but the copying is done before it, on a quarter of the pixels.
    narrower = ConvUnit(in_channels, out_channels, 1, spec.currents)
    return nn.Sequential(
        branch(spec, narrower, scale=SMALL_SCALE), nn.Upsample(scale_factor=2, mode="nearest")
    )


def _down(in_channels: int, out_channels: int, spec: UnitSpec) -> nn.Sequential:
    wider = ConvUnit(in_channels, out_channels, 1, spec.currents)
    return nn.Sequential(nn.MaxPool2d(2), branch(spec, wider, scale=SMALL_SCALE))
