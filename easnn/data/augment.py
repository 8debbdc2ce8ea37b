"""Augmentation: the placement of each sample in the network's input, applied to frames and boxes.

A policy only chooses the placement, in a worker. :func:`prepare_batch` applies it, once per batch
and on the batch's device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from easnn.data.sample import DetectionBatch
from easnn.ops import (
    Interpolation,
    Placement,
    box_areas,
    clip_boxes,
    letterbox_placement,
    place_boxes,
    place_frames,
    xywh_to_xyxy,
    xyxy_to_cxcywh,
)

PlacementPolicy = Callable[[tuple[int, int], np.random.Generator], Placement]
"""Chooses a placement for a sensor of (height, width) with the sample's own random numbers."""

Prepare = Callable[[DetectionBatch], tuple[Tensor, Tensor]]
"""Batch on the device → events ``[B,Tl,Tm,C,h,w]`` and targets ``[B,N,5]``, in network pixels."""

MIN_SIDE_PX = 1.0
"""Training boxes need sides longer than this after clipping, in network pixels."""


@dataclass(frozen=True)
class LetterboxPolicy:
    """Keep the aspect ratio and fill the input from its top-left corner; for evaluation.

    Attributes:
        out_hw: height and width of the network's input in pixels.
    """

    out_hw: tuple[int, int]

    def __call__(self, in_hw: tuple[int, int], rng: np.random.Generator) -> Placement:
        """Return the letterbox placement; ``rng`` is not used."""
        return letterbox_placement(in_hw, self.out_hw)


@dataclass(frozen=True)
class RandomPlacementPolicy:
    """Random aspect ratio, scale, position and mirroring: the published training augmentation.

    The aspect ratio (width to height) is that of the sensor, multiplied by U(1−j, 1+j) / U(1−j,
    1+j). The longer side is the input's side in that direction, multiplied by U(scale_range). The
    other side follows from the aspect ratio, so it may exceed the input. Along each axis, all
    positions with the image inside the input, or the input inside a larger image, are equally
    likely.

    Attributes:
        out_hw: height and width of the network's input in pixels.
        jitter: j, at least 0 and below 1.
        scale_range: smallest and largest scale.
        flip_prob: probability of mirroring left to right.
    """

    out_hw: tuple[int, int]
    jitter: float
    scale_range: tuple[float, float] = (0.4, 1.0)
    flip_prob: float = 0.5

    def __call__(self, in_hw: tuple[int, int], rng: np.random.Generator) -> Placement:
        """Return a placement drawn from ``rng``."""
        (in_height, in_width), (out_height, out_width) = in_hw, self.out_hw
        stretch, squeeze = rng.uniform(1 - self.jitter, 1 + self.jitter, size=2)
        aspect = in_width / in_height * stretch / squeeze
        scale = rng.uniform(*self.scale_range)
        if aspect < 1:
            height, width = scale * out_height, scale * out_height * aspect
        else:
            height, width = scale * out_width / aspect, scale * out_width
        height_px, width_px = max(1, int(height)), max(1, int(width))
        return Placement(
            height_px=height_px,
            width_px=width_px,
            top_px=_random_offset(out_height - height_px, rng),
            left_px=_random_offset(out_width - width_px, rng),
            flip=bool(rng.random() < self.flip_prob),
        )


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

    Boxes are placed like their frame and clipped to the network's input. Boxes of which less than
    ``min_visible`` is left and those with a side of at most 1 px are then dropped. If more than
    ``max_boxes`` are left, the first in file order are used. The batch is not changed.

    Args:
        batch: events and boxes in sensor pixels.
        out_hw: height h and width w of the network's input.
        interpolation: ``linear`` or ``cubic``.
        max_boxes: rows of the targets for every batch.
        min_visible: smallest share of its area that a box keeps when it is clipped, 0 to 1.
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
        kept &= (box_areas(clipped) >= min_visible * box_areas(placed))[..., None]
    rows = torch.where(kept, torch.cat((classes, boxes), dim=-1), 0.0)
    first_kept = kept.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    targets = rows.gather(1, first_kept.expand_as(rows))[:, :max_boxes]
    return functional.pad(targets, (0, 0, 0, max_boxes - targets.shape[1]))


def _random_offset(free_px: int, rng: np.random.Generator) -> int:
    """Return an offset between 0 and ``free_px``, both included; ``free_px`` may be negative."""
    return int(rng.integers(min(free_px, 0), max(free_px, 0), endpoint=True))
