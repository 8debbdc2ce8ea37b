"""Rotation and shear of a placed image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Warp:
    """A shear and then a rotation, about a point that stays where it is.

    A point at (dx, dy) from the centre goes to R·S·(dx, dy), with S = (1, tan s; 0, 1) and
    R = (cos r, −sin r; sin r, cos r), where r is the rotation and s the shear.

    Attributes:
        centre_px: the fixed point (x, y), in network pixels.
        rotation_deg: angle of the rotation; y points down, so a positive angle turns clockwise.
        shear_deg: angle by which vertical lines are slanted, between −90 and 90, exclusively.
    """

    centre_px: tuple[float, float]
    rotation_deg: float = 0.0
    shear_deg: float = 0.0

    def matrix(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return R·S, row by row."""
        r, slant = math.radians(self.rotation_deg), math.tan(math.radians(self.shear_deg))
        cos, sin = math.cos(r), math.sin(r)
        return (cos, cos * slant - sin), (sin, sin * slant + cos)

    def inverse(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the inverse of R·S, row by row."""
        (a, b), (c, d) = self.matrix()  # of determinant 1
        return (d, -b), (-c, a)


def warp_boxes(boxes_xyxy: Tensor, warps: Sequence[Warp | None]) -> Tensor:
    """Return the axis-aligned hulls of boxes whose corners are moved by a warp.

    A hull is larger than what is in it: that of a square that is rotated by 30° has 1.87 times its
    area.

    Args:
        boxes_xyxy: ``[B, N, 4]`` in network pixels.
        warps: one for each of the B images; boxes of images without one are not changed.

    Returns:
        ``[B, N, 4]``: left, top, right, bottom.
    """
    numbers = [
        (*warp.centre_px, *warp.matrix()[0], *warp.matrix()[1], 1.0)
        if warp
        else (0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0)
        for warp in warps
    ]
    table = torch.tensor(numbers, dtype=boxes_xyxy.dtype).to(boxes_xyxy.device, non_blocking=True)
    centre_x, centre_y, xx, xy, yx, yy, warped = table[:, :, None, None].unbind(1)
    left, top, right, bottom = boxes_xyxy.unbind(-1)
    dx = torch.stack((left, right, left, right), dim=-1) - centre_x
    dy = torch.stack((top, top, bottom, bottom), dim=-1) - centre_y
    x, y = centre_x + xx * dx + xy * dy, centre_y + yx * dx + yy * dy
    hulls = torch.stack((x.amin(-1), y.amin(-1), x.amax(-1), y.amax(-1)), dim=-1)
    return torch.where(warped > 0, hulls, boxes_xyxy)
