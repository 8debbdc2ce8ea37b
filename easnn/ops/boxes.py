"""Box formats and the intersection over union.

``xyxy`` is (left, top, right, bottom), ``xywh`` is (left, top, width, height), ``cxcywh`` is
(centre x, centre y, width, height), in pixels. x points right, y points down, and the top-left edge
of the first pixel is at (0, 0). Every function takes boxes ``[..., 4]`` of any floating type and
returns a new tensor.
"""

from __future__ import annotations

import torch
from torch import Tensor


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Convert centre and size to the two corners."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat((centre - size / 2, centre + size / 2), dim=-1)


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """Convert two corners to centre and size."""
    top_left, bottom_right = boxes[..., :2], boxes[..., 2:]
    return torch.cat(((top_left + bottom_right) / 2, bottom_right - top_left), dim=-1)


def xywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Convert top-left corner and size to the two corners."""
    top_left, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat((top_left, top_left + size), dim=-1)


def xyxy_to_xywh(boxes: Tensor) -> Tensor:
    """Convert two corners to top-left corner and size."""
    top_left, bottom_right = boxes[..., :2], boxes[..., 2:]
    return torch.cat((top_left, bottom_right - top_left), dim=-1)


def xywh_to_cxcywh(boxes: Tensor) -> Tensor:
    """Convert top-left corner and size to centre and size."""
    top_left, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat((top_left + size / 2, size), dim=-1)


def cxcywh_to_xywh(boxes: Tensor) -> Tensor:
    """Convert centre and size to top-left corner and size."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat((centre - size / 2, size), dim=-1)


def clip_boxes(boxes_xyxy: Tensor, hw: tuple[int, int]) -> Tensor:
    """Clip boxes to an image of ``hw`` (height, width); a box outside of it gets a side of 0."""
    height, width = hw
    x1, y1, x2, y2 = boxes_xyxy.unbind(-1)
    return torch.stack(
        (x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)), dim=-1
    )


def box_areas(boxes_xyxy: Tensor) -> Tensor:
    """Return the areas ``[...]`` of boxes ``[..., 4]``."""
    x1, y1, x2, y2 = boxes_xyxy.unbind(-1)
    return (x2 - x1) * (y2 - y1)


def box_iou(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """Return the intersection over union of every box of ``a`` with every box of ``b``.

    Args:
        a_xyxy: ``[..., N, 4]``.
        b_xyxy: ``[..., M, 4]``; its leading axes broadcast against those of ``a_xyxy``.

    Returns:
        ``[..., N, M]`` in [0, 1]; 0 where both boxes are empty.
    """
    ax1, ay1, ax2, ay2 = a_xyxy[..., :, None, :].unbind(-1)
    bx1, by1, bx2, by2 = b_xyxy.mT.contiguous()[..., None, :].unbind(-3)  # contiguous for speed
    width = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp_min(0)
    height = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp_min(0)
    intersection = width * height
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - intersection
    return intersection / union.clamp_min(torch.finfo(union.dtype).tiny)
