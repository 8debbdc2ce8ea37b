"""From decoded network outputs to detections."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from easnn.ops.boxes import box_iou, cxcywh_to_xyxy

_BLOCK = (
    64  # boxes settled at a time: their overlaps with all others fit into the processor's cache
)


def batched_nms(boxes_xyxy: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """Keep the boxes that greedy non-maximum suppression keeps, separately in each group.

    From the best score down, a box is kept unless its IoU with an already kept box of its group is
    above the threshold. Of equal scores the earlier box comes first. torchvision's operator does
    the work where it can be imported, plain torch otherwise; both compute in float64 and agree.

    Args:
        boxes_xyxy: ``[N, 4]``, finite.
        scores: ``[N]``.
        groups: ``[N]`` integers, such as classes: boxes of different groups do not suppress each
            other.
        iou_threshold: greatest IoU that two kept boxes of a group may have.

    Returns:
        Indices ``[M]`` of the kept boxes, best score first.
    """
    if not len(boxes_xyxy):
        return torch.empty(0, dtype=torch.long, device=boxes_xyxy.device)
    boxes = boxes_xyxy.double()
    # Each group is moved to a place of its own, where it overlaps no other.
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
    """Turn decoded outputs into detections, as YOLOX does.

    Every anchor proposes its most probable class with the score objectness × class probability.
    Proposals below the confidence go, then each class of each image is thinned by
    :func:`batched_nms`. A proposal with a number that is not finite is dropped: it can be compared
    with nothing.

    Both caps drop the lowest scores only, so that a capped result is the beginning of the whole
    one. Average precision reads the 100 best detections of each image and class, but those that are
    left *after* the filters of the protocol: for an evaluation leave the caps off, or well above
    100 × classes.

    Args:
        outputs: ``[B, A, 5 + classes]``: centre x, centre y, width, height in pixels, objectness,
            class probabilities.
        confidence: least score of a detection.
        iou_threshold: greatest IoU of two detections of a class.
        max_candidates: at most this many proposals per image enter the suppression; None for all.
        max_detections: at most this many detections per image; None for all.

    Returns:
        For each image ``[M, 6]``: x1, y1, x2, y2, score, class; best score first, equal scores in
            the order
        of their anchors.
    """
    probability, label = outputs[..., 5:].max(dim=-1)
    score = outputs[..., 4] * probability
    boxes = cxcywh_to_xyxy(outputs[..., :4])
    proposals = torch.cat((boxes, score[..., None], label[..., None].to(boxes)), dim=-1)
    wanted = (score >= confidence) & proposals.isfinite().all(dim=-1)
    per_image = torch.split(proposals[wanted], wanted.sum(dim=1).tolist())
    return [
        _thin(candidates, iou_threshold, max_candidates, max_detections) for candidates in per_image
    ]


def _thin(
    candidates: Tensor, iou_threshold: float, max_candidates: int | None, max_detections: int | None
) -> Tensor:
    if max_candidates is not None:
        candidates = candidates[
            candidates[:, 4].argsort(descending=True, stable=True)[:max_candidates]
        ]
    kept = batched_nms(candidates[:, :4], candidates[:, 4], candidates[:, 5].long(), iou_threshold)
    return candidates[kept[:max_detections]]


@cache
def _operator() -> Callable[[Tensor, Tensor, float], Tensor]:
    """Return torchvision's operator, or the plain one where torchvision is missing or unusable."""
    try:
        from torchvision.ops import nms
    except (
        Exception
    ):  # beside a CPU-only torch the import fails with RuntimeError, elsewhere with OSError
        return plain_nms
    operator: Callable[[Tensor, Tensor, float], Tensor] = nms
    return operator


def plain_nms(boxes_xyxy: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Do what ``torchvision.ops.nms`` does, in plain torch.

    A block of the best remaining boxes is settled among itself, then removes what it suppresses
    from the rest: a few large operations per block in place of one step per box.
    """
    order = scores.argsort(descending=True, stable=True)
    remaining = boxes_xyxy[order]
    kept = []
    while len(remaining):
        block, remaining = remaining[:_BLOCK], remaining[_BLOCK:]
        survives = _settle(box_iou(block, block) > iou_threshold)
        kept.append(order[:_BLOCK][survives])
        spared = ~(box_iou(block[survives], remaining) > iou_threshold).any(dim=0)
        remaining, order = remaining[spared], order[_BLOCK:][spared]
    return torch.cat(kept)


def _settle(overlaps: Tensor) -> Tensor:
    """Return which boxes of a block survive the greedy suppression among them.

    Box n falls if a better box that survives overlaps it. When this rule is applied to all boxes at
    once, again and again, each round settles at least one more box, and the end is the greedy
    result.

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
