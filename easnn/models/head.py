"""The decoupled head of YOLOX."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from easnn.models.blocks import ConvUnit, UnitSpec, spatial_unit

PRIOR = 0.01
"""Probability of an object, and of each class, that the untrained head predicts at every anchor."""


class HeadLevel(nn.Module):
    """The head of one feature map: a tower of units for classes, one for box and objectness."""

    def __init__(self, in_channels: int, channels: int, num_classes: int, spec: UnitSpec) -> None:
        super().__init__()
        self.stem = ConvUnit(in_channels, channels, 1, spec)
        self.class_tower = nn.Sequential(
            *[spatial_unit(channels, channels, spec) for _ in range(2)]
        )
        self.box_tower = nn.Sequential(*[spatial_unit(channels, channels, spec) for _ in range(2)])
        self.class_out = nn.Conv2d(channels, num_classes, 1)
        self.box_out = nn.Conv2d(channels, 4, 1)
        self.object_out = nn.Conv2d(channels, 1, 1)
        for out in (self.class_out, self.object_out):
            assert out.bias is not None
            nn.init.constant_(out.bias, -math.log((1 - PRIOR) / PRIOR))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T·B, C, h, w]`` to box, objectness, classes ``[T·B, 5 + num_classes, h, w]``."""
        x = self.stem(x)
        box = self.box_tower(x)
        outputs = (self.box_out(box), self.object_out(box), self.class_out(self.class_tower(x)))
        return torch.cat(outputs, dim=1)


class DecoupledHead(nn.Module):
    """One :class:`HeadLevel` per feature map.

    Args:
        in_channels: channels of each feature map.
        channels: channels inside the head.
        num_classes: number of classes.
        spec: settings of all units.
    """

    def __init__(
        self, in_channels: Sequence[int], channels: int, num_classes: int, spec: UnitSpec
    ) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            [HeadLevel(c, channels, num_classes, spec) for c in in_channels]
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map features to raw outputs ``[T·B, A, 5 + num_classes]`` at all A anchors."""
        # 3 of [T·B, 5 + num_classes, h·w]
        maps = [level(x).flatten(2) for level, x in zip(self.levels, features, strict=True)]
        return torch.cat(maps, dim=2).transpose(1, 2)
