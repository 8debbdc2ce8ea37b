"""Augmentation: the placement of each sample in the network's input, applied to frames and boxes.

A policy only chooses the placement, in a worker. :func:`prepare_batch` applies it, once per batch
and on the batch's device. So several samples can share what was drawn for one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from easnn.data.sample import DetectionBatch
from easnn.ops import (
    Interpolation,
    Placement,
    Rectangle,
    box_areas,
    clip_boxes,
    letterbox_placement,
    place_boxes,
    place_frames,
    xywh_to_xyxy,
    xyxy_to_cxcywh,
)

PlacementPolicy = Callable[[tuple[int, int], np.random.Generator, np.ndarray], Placement]
"""Chooses a placement for a sensor of (height, width), with the sample's own random numbers.

The last argument is the boxes of the sample, ``[N,4]``: left, top, width, height in sensor pixels.
"""

Prepare = Callable[[DetectionBatch], tuple[Tensor, Tensor]]
"""Batch on the device → events ``[B,Tl,Tm,C,h,w]`` and targets ``[B,N,5]``, in network pixels."""

NO_BOXES = np.zeros((0, 4), np.float32)
"""The boxes of a sample without any, for policies."""

MIN_SIDE_PX = 1.0
"""Training boxes need sides longer than this after clipping, in network pixels."""


@dataclass(frozen=True)
class LetterboxPolicy:
    """Keep the aspect ratio and fill the input from its top-left corner; for evaluation.

    Attributes:
        out_hw: height and width of the network's input in pixels.
    """

    out_hw: tuple[int, int]

    def __call__(
        self, in_hw: tuple[int, int], rng: np.random.Generator, boxes_xywh: np.ndarray = NO_BOXES
    ) -> Placement:
        """Return the letterbox placement; ``rng`` and the boxes are not used."""
        return letterbox_placement(in_hw, self.out_hw)


def prepare_batch(
    batch: DetectionBatch,
    out_hw: tuple[int, int],
    interpolation: Interpolation = "linear",
    *,
    max_boxes: int = 50,
    min_visible: float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """Compute the network's input and targets from a batch, on the batch's device.

    Boxes are placed like their frame and clipped to the network's input; in a warped frame, their
    hull is. Boxes of which less than ``min_visible`` is left and those with a side of at most 1 px
    are then dropped. If more than ``max_boxes`` are left, the first in file order are used. The
    batch is not changed.

    Args:
        batch: events and boxes in sensor pixels.
        out_hw: height h and width w of the network's input.
        interpolation: ``linear`` or ``cubic``.
        max_boxes: rows of the targets for every batch.
        min_visible: smallest share of its area that is inside the input and not erased, 0 to 1.
        dtype: floating type of both results.

    Returns:
        events ``[B,Tl,Tm,C,h,w]``, and targets ``[B,max_boxes,5]``: rows (class, cx, cy, w, h) in
        network pixels, then zero rows.
    """
    events = place_frames(batch.events, batch.placements, out_hw, interpolation, dtype)
    targets = prepare_targets(batch, out_hw, max_boxes=max_boxes, min_visible=min_visible)
    return events, targets.to(dtype)


def prepare_targets(
    batch: DetectionBatch,
    out_hw: tuple[int, int],
    *,
    max_boxes: int = 50,
    min_visible: float = 0.0,
) -> Tensor:
    """Return the targets ``[B,max_boxes,5]`` of a batch, float32, as :func:`prepare_batch`."""
    classes, boxes_xywh = batch.boxes[..., :1], batch.boxes[..., 1:]
    placed = xywh_to_xyxy(place_boxes(boxes_xywh, batch.placements, batch.sensor_hw))
    clipped = clip_boxes(placed, out_hw)
    boxes = xyxy_to_cxcywh(clipped)
    kept = (boxes[..., 2:] > MIN_SIDE_PX).all(dim=-1, keepdim=True)
    if min_visible > 0:
        visible = box_areas(clipped) - _erased_areas(clipped, batch.placements)
        kept &= (visible >= min_visible * box_areas(placed))[..., None]
    rows = torch.where(kept, torch.cat((classes, boxes), dim=-1), 0.0)
    first_kept = kept.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    targets = rows.gather(1, first_kept.expand_as(rows))[:, :max_boxes]
    return functional.pad(targets, (0, 0, 0, max_boxes - targets.shape[1]))


def _erased_areas(boxes_xyxy: Tensor, placements: Sequence[Placement]) -> Tensor | float:
    """Return the areas ``[B,N]`` of the erased parts of boxes ``[B,N,4]`` in the input."""
    erased = [p.erased or Rectangle(0, 0, 0, 0) for p in placements]
    if not any(rectangle.height_px for rectangle in erased):
        return 0.0
    corners = [
        (e.left_px, e.top_px, e.left_px + e.width_px, e.top_px + e.height_px) for e in erased
    ]
    x1, y1, x2, y2 = (
        torch.tensor(corners, dtype=boxes_xyxy.dtype)
        .to(boxes_xyxy.device, non_blocking=True)[:, None]
        .unbind(-1)
    )
    left, top, right, bottom = boxes_xyxy.unbind(-1)
    width = (torch.minimum(right, x2) - torch.maximum(left, x1)).clamp_min(0)
    height = (torch.minimum(bottom, y2) - torch.maximum(top, y1)).clamp_min(0)
    return width * height
