"""The anchor points of the feature maps; conversion between boxes and raw outputs of the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

STRIDES = (8, 16, 32)


@dataclass(frozen=True)
class AnchorGrid:
    """One anchor point per cell of each feature map, fine to coarse, row by row.

    Attributes:
        points_px: ``[A, 2]`` centres (x, y) of the cells in pixels of the network's input.
        strides_px: ``[A, 1]`` sides of the cells.
        sizes: (height, width) of each feature map; A is the sum of their areas.
    """

    points_px: Tensor
    strides_px: Tensor
    sizes: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, features: Sequence[Tensor], dtype: torch.dtype) -> AnchorGrid:
        """Return the anchors of feature maps ``[..., H, W]`` of strides 8, 16 and 32."""
        points, strides, sizes = [], [], []
        for feature, stride in zip(features, STRIDES, strict=True):
            height, width = feature.shape[-2:]
            x = (torch.arange(width, device=feature.device, dtype=dtype) + 0.5) * stride
            y = (torch.arange(height, device=feature.device, dtype=dtype) + 0.5) * stride
            centres = torch.stack((x.repeat(height), y.repeat_interleave(width)), dim=-1)
            points.append(centres)
            strides.append(torch.full_like(centres[:, :1], stride))
            sizes.append((height, width))
        return cls(torch.cat(points), torch.cat(strides), tuple(sizes))


def decode_boxes(raw: Tensor, points_px: Tensor, strides_px: Tensor) -> Tensor:
    """Convert raw outputs ``[..., 4]`` to boxes (cx, cy, w, h in pixels).

    The raw centre is the offset from the cell's top-left corner in strides. The raw size is the
    logarithm of the size in strides.
    """
    centre = points_px + (raw[..., :2] - 0.5) * strides_px
    return torch.cat((centre, raw[..., 2:].exp() * strides_px), dim=-1)


def encode_boxes(boxes_px: Tensor, points_px: Tensor, strides_px: Tensor) -> Tensor:
    """Convert boxes (cx, cy, w, h in pixels) to raw outputs ``[..., 4]``.

    It is the inverse of :func:`decode_boxes`, but a side of 0 pixels becomes a finite number.
    """
    offset = (boxes_px[..., :2] - points_px) / strides_px + 0.5
    return torch.cat((offset, torch.log(boxes_px[..., 2:] / strides_px + 1e-8)), dim=-1)
