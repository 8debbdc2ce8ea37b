"""The anchor points of the three feature maps, and boxes from and to what the head predicts at them."""

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
        """Make the anchors of ``features`` ``[.., H, W]`` of strides 8, 16 and 32, on their device."""
        points, strides = [], []
        for feature, stride in zip(features, STRIDES, strict=True):
            y, x = (
                torch.arange(n, device=feature.device, dtype=dtype).add(0.5).mul(stride)
                for n in feature.shape[-2:]
            )
            cells = torch.stack(torch.broadcast_tensors(x, y[:, None]), dim=-1).flatten(0, 1)
            points.append(cells)
            strides.append(torch.full_like(cells[:, :1], stride))
        sizes = tuple((feature.shape[-2], feature.shape[-1]) for feature in features)
        return cls(torch.cat(points), torch.cat(strides), sizes)


def decode_boxes(raw: Tensor, points_px: Tensor, strides_px: Tensor) -> Tensor:
    """Return the boxes (cx, cy, w, h in pixels) that raw outputs ``[..., 4]`` stand for.

    The centre is an offset from the cell's top-left corner, in strides; the size is the exponential, in strides.
    """
    offset, log_size = raw.split(2, dim=-1)
    return torch.cat((points_px + (offset - 0.5) * strides_px, log_size.exp() * strides_px), dim=-1)


def encode_boxes(boxes_px: Tensor, points_px: Tensor, strides_px: Tensor) -> Tensor:
    """Return the raw outputs ``[..., 4]`` that stand for ``boxes_px``; the inverse of :func:`decode_boxes`.

    A side of 0 pixels becomes a finite number.
    """
    centre, size = boxes_px.split(2, dim=-1)
    offset = (centre - points_px) / strides_px + 0.5
    return torch.cat((offset, torch.log(size / strides_px + 1e-8)), dim=-1)
