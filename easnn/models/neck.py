"""PAFPN, the feature pyramid of YOLOX."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easnn.models.activation_checkpointing import computed_again
from easnn.models.blocks import ConvUnit, CSPLayer, UnitSpec, spatial_unit

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
