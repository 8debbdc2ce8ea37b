"""Non-maximum suppression: from decoded network outputs to detections."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from easnn.ops.boxes import box_iou, cxcywh_to_xyxy

_BLOCK = 64  # boxes per iteration: their IoU matrix fits into the CPU cache


def batched_nms(boxes_xyxy: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """Apply greedy non-maximum suppression separately to each group.

    In the order of descending scores, a box is kept unless its IoU with a kept box of its group is
    above the threshold. Of equal scores the earlier box comes first. torchvision's operator is used
    if it can be imported, plain torch otherwise; both compute in float64 and agree.

    Args:
        boxes_xyxy: ``[N, 4]``, finite.
        scores: ``[N]``.
        groups: ``[N]`` integers, such as classes: boxes of different groups do not suppress each
            other.
        iou_threshold: maximum IoU of two kept boxes of a group.

    Returns:
        Indices ``[M]`` of the kept boxes, best score first.
    """
    if not len(boxes_xyxy):
        return torch.empty(0, dtype=torch.long, device=boxes_xyxy.device)
    boxes = boxes_xyxy.double()
    # Offsets separate the groups, so that boxes of different groups never overlap.
    extent = boxes.amax() - boxes.amin() + 1
    return _operator()(boxes + (groups * extent)[:, None], scores.double(), iou_threshold)


def select_detections(
    outputs: Tensor,
    confidence: float,
    iou_threshold: float,
    *,
    max_candidates: int | None = None,
    max_detections: int | None = None,
) -> list[Tensor]:
    """Select detections from decoded outputs, as YOLOX does.

    Every anchor predicts its most probable class with the score objectness × class probability.
    Candidates below the confidence threshold and candidates with non-finite values are dropped.
    :func:`batched_nms` is then applied to each image, class by class.

    Both limits drop the lowest scores only. Average precision uses the 100 best detections per
    image and class that are left *after* the filters of the protocol. For an evaluation set no
    limits, or limits well above 100 × classes.

    Args:
        outputs: ``[B, A, 5 + classes]``: centre x, centre y, width, height in pixels, objectness,
            class probabilities.
        confidence: minimum score of a detection.
        iou_threshold: maximum IoU of two detections of a class.
        max_candidates: maximum number of candidates per image before the suppression; None for all.
        max_detections: maximum number of detections per image; None for all.

    Returns:
        For each image ``[M, 6]``: x1, y1, x2, y2, score, class; best score first, equal scores in
        the order of their anchors.
    """
    probability, label = outputs[..., 5:].max(dim=-1)
    score = outputs[..., 4] * probability
    boxes = cxcywh_to_xyxy(outputs[..., :4])
    candidates = torch.cat((boxes, score[..., None], label[..., None].to(boxes)), dim=-1)
    selected = (score >= confidence) & candidates.isfinite().all(dim=-1)
    per_image = torch.split(candidates[selected], selected.sum(dim=1).tolist())
    return [_suppress(image, iou_threshold, max_candidates, max_detections) for image in per_image]


def _suppress(
    candidates: Tensor, iou_threshold: float, max_candidates: int | None, max_detections: int | None
) -> Tensor:
    if max_candidates is not None:
        best_first = candidates[:, 4].argsort(descending=True, stable=True)
        candidates = candidates[best_first[:max_candidates]]
    kept = batched_nms(candidates[:, :4], candidates[:, 4], candidates[:, 5].long(), iou_threshold)
    return candidates[kept[:max_detections]]


@cache
def _operator() -> Callable[[Tensor, Tensor, float], Tensor]:
    """Return torchvision's operator, or the plain one if torchvision is missing or unusable."""
    try:
        from torchvision.ops import nms
    except Exception:  # ImportError, or RuntimeError or OSError if it does not fit this torch
        return plain_nms
    return nms


def plain_nms(boxes_xyxy: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Compute ``torchvision.ops.nms`` in plain torch.

    Each iteration applies the suppression within a block of the best remaining boxes, then removes
    the boxes that the block suppresses: a few large operations per block instead of one per box.
    """
    order = scores.argsort(descending=True, stable=True)
    remaining = boxes_xyxy[order]
    kept = []
    while len(remaining):
        block, remaining = remaining[:_BLOCK], remaining[_BLOCK:]
        survives = _survivors(box_iou(block, block) > iou_threshold)
        kept.append(order[:_BLOCK][survives])
        unsuppressed = ~(box_iou(block[survives], remaining) > iou_threshold).any(dim=0)
        remaining, order = remaining[unsuppressed], order[_BLOCK:][unsuppressed]
    return torch.cat(kept)


def _survivors(overlaps: Tensor) -> Tensor:
    """Return which boxes of a block survive the greedy suppression within the block.

    A box is suppressed if a better box that survives overlaps it. The rule is applied to all boxes
    at once until nothing changes. Each iteration decides at least one more box, and the fixed point
    is the greedy result.

    Args:
        overlaps: ``[N, N]`` booleans, best box first.
    """
    by_better = overlaps.triu(diagonal=1)
    survives = torch.ones(len(overlaps), dtype=torch.bool, device=overlaps.device)
    while True:
        after = ~(by_better & survives[:, None]).any(dim=0)
        if torch.equal(after, survives):
            return survives
        survives = after
