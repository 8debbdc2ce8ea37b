"""The decoupled head of YOLOX."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from easnn.models.blocks import ConvUnit, Style

PRIOR = 0.01
"""Probability of an object, and of each class, that the untrained head predicts everywhere."""


class HeadLevel(nn.Module):
    """The head of one feature map: one tower of units for the class, one for the box and whether there is one.

    Shape:
        ``[T·B, channels_in, h, w]`` → ``[T·B, 5 + num_classes, h, w]``: raw box (4), objectness, classes.
    """

    def __init__(self, channels_in: int, channels: int, num_classes: int, style: Style) -> None:
        super().__init__()
        self.stem = ConvUnit(channels_in, channels, 1, style)
        self.class_tower = nn.Sequential(*[ConvUnit(channels, channels, 3, style) for _ in range(2)])
        self.box_tower = nn.Sequential(*[ConvUnit(channels, channels, 3, style) for _ in range(2)])
        self.class_out = nn.Conv2d(channels, num_classes, 1)
        self.box_out = nn.Conv2d(channels, 4, 1)
        self.object_out = nn.Conv2d(channels, 1, 1)
        for out in (self.class_out, self.object_out):
            nn.init.constant_(out.bias, -math.log((1 - PRIOR) / PRIOR))  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        boxes = self.box_tower(x)
        outputs = (self.box_out(boxes), self.object_out(boxes), self.class_out(self.class_tower(x)))
        return torch.cat(outputs, dim=1)


class DecoupledHead(nn.Module):
    """One :class:`HeadLevel` per feature map.

    Args:
        channels_in: channels of each feature map.
        channels: channels inside the head.
        num_classes: classes to tell apart.
        style: of all units.

    Shape:
        → raw outputs ``[T·B, A, 5 + num_classes]`` at the A anchor points of all feature maps.
    """

    def __init__(self, channels_in: Sequence[int], channels: int, num_classes: int, style: Style) -> None:
        super().__init__()
        self.levels = nn.ModuleList([HeadLevel(c, channels, num_classes, style) for c in channels_in])

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        maps = [level(x) for level, x in zip(self.levels, features, strict=True)]
        return torch.cat([m.flatten(2) for m in maps], dim=2).transpose(1, 2)
