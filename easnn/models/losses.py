"""The training losses of YOLOX."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from easnn.models.anchors import AnchorGrid, decode_boxes, encode_boxes
from easnn.models.assignment import assign, find_candidates
from easnn.utils.distributed import sum_across_ranks, world_size

BOX_WEIGHT = 5.0


def detection_losses(raw: Tensor, targets: Tensor, grid: AnchorGrid) -> dict[str, Tensor]:
    """Compare the raw outputs of the head with the ground truth.

    Each loss is a sum divided by the number of positive anchors, at least 1. That number is taken over all processes and the loss multiplied by their
    number, so that gradients averaged over processes equal those of one process with the whole batch.

    Args:
        raw: ``[B, A, 5 + C]`` box (4), objectness, classes.
        targets: ``[B, N, 5]`` (class, cx, cy, w, h in pixels); rows without a size are padding.
        grid: the A anchors.

    Returns:
        ``total_loss``; its terms ``iou_loss`` (5·(1 − IoU²)), ``l1_loss``, ``conf_loss`` and ``cls_loss``; and ``num_fg``, the
        positive anchors per ground-truth box.
    """
    classes, boxes = targets[..., 0].long(), targets[..., 1:].to(raw.dtype)
    real = (boxes[..., 2:] > 0).all(-1)

    candidates = find_candidates(boxes, real, grid)
    near = candidates.take(raw)
    points, strides = grid.points_px[candidates.anchors], grid.strides_px[candidates.anchors]
    raw_box, object_logit, class_logits = near.split((4, 1, near.shape[-1] - 5), dim=-1)
    predicted = decode_boxes(raw_box, points, strides)
    assigned = assign(
        boxes,
        classes,
        real,
        candidates,
        points,
        strides,
        predicted.detach(),
        object_logit.detach(),
        class_logits.detach(),
    )
    positive, weight = assigned.positive, assigned.positive.to(raw.dtype)

    wanted = boxes.gather(1, assigned.box[..., None].expand(-1, -1, 4))
    # A prediction that is not compared takes the value it should have: no overflow of its size can reach the sum.
    predicted = torch.where(positive[..., None], predicted, wanted)
    box_loss = ((1 - paired_iou(predicted, wanted) ** 2) * weight).sum()
    distance = (raw_box - encode_boxes(wanted, points, strides)).abs().sum(-1)
    l1_loss = (distance * weight).sum()

    objects = torch.zeros_like(raw[..., 4]).scatter_add(1, candidates.anchors, weight)
    object_loss = F.binary_cross_entropy_with_logits(raw[..., 4], objects, reduction="sum")

    own = classes.gather(1, assigned.box)[..., None]
    overlaps = torch.zeros_like(class_logits).scatter(-1, own, assigned.iou[..., None])
    class_loss = F.binary_cross_entropy_with_logits(
        class_logits, overlaps, weight[..., None], reduction="sum"
    )

    positives, boxes_in_all = sum_across_ranks(
        torch.stack((weight.sum(), real.sum().to(raw.dtype)))
    ).clamp_min(1)
    share = world_size() / positives
    terms = {
        "iou_loss": BOX_WEIGHT * box_loss * share,
        "l1_loss": l1_loss * share,
        "conf_loss": object_loss * share,
        "cls_loss": class_loss * share,
    }
    return {"total_loss": sum(terms.values(), raw.new_zeros(())), **terms, "num_fg": positives / boxes_in_all}


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersection over union of each box of ``a`` with the same one of ``b``.

    Args:
        a: ``[..., 4]`` (cx, cy, w, h).
        b: the same.

    Returns:
        ``[...]`` in [0, 1]; 0 where both boxes are empty.
    """
    low = torch.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = torch.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    width, height = (high - low).clamp_min(0).unbind(-1)
    intersection = width * height
    union = a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - intersection
    return intersection / (union + 1e-16)
