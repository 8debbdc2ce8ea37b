"""Placement of the sensor image in the network's input, and the conversion of boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from easnn.ops.boxes import xywh_to_xyxy, xyxy_to_xywh
from easnn.ops.warp import Warp, warp_boxes


@dataclass(frozen=True)
class Rectangle:
    """Whole pixels of the network's input."""

    top_px: int
    left_px: int
    height_px: int
    width_px: int


@dataclass(frozen=True)
class Placement:
    """The rectangle of the network's input that contains the sensor image, in network pixels.

    The rectangle may start above or left of the input (negative offsets) and may be larger than it;
    parts outside are cut off. With a warp, the image is then moved as a whole, so it may be another
    parallelogram.

    Attributes:
        height_px: height of the resized sensor image, at least 1.
        width_px: width of the resized sensor image, at least 1.
        top_px: first row in the network's input.
        left_px: first column in the network's input.
        flip: whether the image is flipped horizontally, within the rectangle.
        warp: how the image in the rectangle is rotated and sheared, if it is.
        erased: part of the network's input that is emptied, if any; boxes stay.
    """

    height_px: int
    width_px: int
    top_px: int = 0
    left_px: int = 0
    flip: bool = False
    warp: Warp | None = None
    erased: Rectangle | None = None


def letterbox_placement(in_hw: tuple[int, int], out_hw: tuple[int, int]) -> Placement:
    """Return the letterbox placement: aspect ratio preserved, aligned with the top-left corner.

    Both sides are scaled by min(h_out / h, w_out / w) and truncated to whole pixels, at least one.
    This is computed in floating point, as for the published weights; a scale that is rounded down
    can cost the last pixel.

    Args:
        in_hw: height and width of the sensor.
        out_hw: height and width of the network's input.
    """
    scale = min(out_hw[0] / in_hw[0], out_hw[1] / in_hw[1])
    return Placement(max(1, int(in_hw[0] * scale)), max(1, int(in_hw[1] * scale)))


def place_boxes(
    boxes_xywh: Tensor, placements: Sequence[Placement], in_hw: tuple[int, int]
) -> Tensor:
    """Convert boxes from sensor pixels to network pixels.

    The scale is that of the resized image, ``width_px / W`` and ``height_px / H``, which differs
    from the letterbox's common scale by the truncation to whole pixels. Boxes are not clipped. The
    box of a warped image is the axis-aligned hull of the four corners.

    Args:
        boxes_xywh: ``[B, N, 4]``: left, top, width, height in sensor pixels.
        placements: one for each of the B images.
        in_hw: height and width of the sensor.

    Returns:
        ``[B, N, 4]``: left, top, width, height in network pixels.
    """
    scale, offset, flip = _affine(placements, in_hw, boxes_xywh)
    x, y, w, h = (boxes_xywh * scale).unbind(-1)
    x = torch.where(flip, in_hw[1] * scale[..., 0] - x - w, x)
    placed = torch.stack((x, y, w, h), dim=-1) + offset
    warps = [placement.warp for placement in placements]
    if not any(warps):
        return placed
    return xyxy_to_xywh(warp_boxes(xywh_to_xyxy(placed), warps))


def unplace_boxes(
    boxes_xywh: Tensor, placements: Sequence[Placement], in_hw: tuple[int, int]
) -> Tensor:
    """Convert boxes from network pixels to sensor pixels: the inverse of :func:`place_boxes`.

    Args:
        boxes_xywh: ``[B, N, 4]``: left, top, width, height in network pixels.
        placements: one for each of the B images.
        in_hw: height and width of the sensor.

    Returns:
        ``[B, N, 4]``: left, top, width, height in sensor pixels.

    Raises:
        ValueError: if a placement has a warp; a hull does not tell the box in it.
    """
    if any(placement.warp for placement in placements):
        raise ValueError("Boxes in a warped image cannot be converted to sensor pixels.")
    scale, offset, flip = _affine(placements, in_hw, boxes_xywh)
    x, y, w, h = ((boxes_xywh - offset) / scale).unbind(-1)
    return torch.stack((torch.where(flip, in_hw[1] - x - w, x), y, w, h), dim=-1)


def unplace_detections(detections: Tensor, placement: Placement, in_hw: tuple[int, int]) -> Tensor:
    """Convert the detections of one image from network pixels to sensor pixels.

    Args:
        detections: ``[M, 6]``: x1, y1, x2, y2, score, class, from
            :func:`~easnn.ops.nms.select_detections`.
        placement: placement of the image in the network's input.
        in_hw: height and width of the sensor.

    Returns:
        ``[M, 6]``: class, score, left, top, width, height in sensor pixels.
    """
    [boxes_xywh] = unplace_boxes(xyxy_to_xywh(detections[None, :, :4]), [placement], in_hw)
    return torch.cat((detections[:, 5:], detections[:, 4:5], boxes_xywh), dim=1)


def _affine(
    placements: Sequence[Placement], in_hw: tuple[int, int], like: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return scale and offset of (x, y, w, h), each ``[B, 1, 4]``, and flip ``[B, 1]``."""
    height, width = in_hw

    def rows(values: list[tuple[float, ...]]) -> Tensor:  # the host does not wait for the copy
        return torch.tensor(values, dtype=like.dtype).to(like.device, non_blocking=True)

    scale = rows([(p.width_px / width, p.height_px / height) * 2 for p in placements])
    offset = rows([(p.left_px, p.top_px, 0, 0) for p in placements])
    flip = rows([(p.flip,) for p in placements]) > 0
    return scale[:, None, :], offset[:, None, :], flip
