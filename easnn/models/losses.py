"""The training losses of YOLOX."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from easnn.models.anchors import AnchorGrid, decode_boxes, encode_boxes
from easnn.models.assignment import GroundTruth, assign, find_candidates
from easnn.utils.distributed import sum_across_ranks, world_size

BOX_WEIGHT = 5.0


def detection_losses(raw: Tensor, targets: Tensor, grid: AnchorGrid) -> dict[str, Tensor]:
    """Return the losses of the raw outputs of the head.

    Each loss is a sum divided by the number of positive anchors. This number is the sum over all
    processes (at least 1) divided by the number of processes, so that gradients averaged over
    processes equal those of one process with the whole batch.

    Args:
        raw: ``[B, A, 5 + C]`` box (4), objectness, classes.
        targets: ``[B, N, 5]`` (class, cx, cy, w, h in pixels); rows without an area are padding.
        grid: the A anchors.

    Returns:
        ``total_loss``; its terms ``iou_loss`` (5·(1 − IoU²)), ``l1_loss``, ``conf_loss``,
        ``cls_loss``; and ``num_fg``, the positive anchors per ground-truth box.
    """
    if targets.shape[1] == 0:
        targets = targets.new_zeros(len(targets), 1, 5)
    truth = GroundTruth.of(targets, raw.dtype)
    candidates = find_candidates(truth, grid)
    points, strides = candidates.points_px, candidates.strides_px  # [B, K, 2], [B, K, 1]

    near = candidates.take(raw)  # [B, K, 5 + C]
    raw_box, object_logits, class_logits = near[..., :4], near[..., 4:5], near[..., 5:]
    predicted = decode_boxes(raw_box, points, strides)  # [B, K, 4]
    assigned = assign(
        truth, candidates, predicted.detach(), object_logits.detach(), class_logits.detach()
    )
    weight = assigned.positive.to(raw.dtype)  # [B, K]: 1 for positive anchors, else 0

    wanted = truth.boxes_px.gather(1, assigned.box[..., None].expand(-1, -1, 4))  # [B, K, 4]
    # A predicted size that overflows must not reach the sum where nothing is learned.
    compared = torch.where(assigned.positive[..., None], predicted, wanted)  # [B, K, 4]
    box_sum = ((1 - paired_iou(compared, wanted) ** 2) * weight).sum()

    distance = (raw_box - encode_boxes(wanted, points, strides)).abs().sum(-1)  # [B, K]
    l1_sum = (distance * weight).sum()

    objects = torch.zeros_like(raw[..., 4]).scatter_add(1, candidates.anchors, weight)  # [B, A]
    object_sum = binary_cross_entropy_with_logits(raw[..., 4], objects, reduction="sum")

    own_class = truth.classes.gather(1, assigned.box)[..., None]  # [B, K, 1]
    quality = torch.zeros_like(class_logits)  # [B, K, C]: IoU at the class of the box, else 0
    quality = quality.scatter(-1, own_class, assigned.iou[..., None])
    class_sum = binary_cross_entropy_with_logits(
        class_logits, quality, weight[..., None], reduction="sum"
    )

    counts = torch.stack((weight.sum(), truth.real.sum().to(raw.dtype)))  # [2]
    positives, boxes = sum_across_ranks(counts).clamp_min(1).unbind()
    share = world_size() / positives
    terms = {
        "iou_loss": BOX_WEIGHT * box_sum * share,
        "l1_loss": l1_sum * share,
        "conf_loss": object_sum * share,
        "cls_loss": class_sum * share,
    }
    return {
        "total_loss": torch.stack(list(terms.values())).sum(),
        **terms,
        "num_fg": positives / boxes,
    }


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersection over union of each box of ``a`` with its partner in ``b``.

    Args:
        a: ``[..., 4]`` (cx, cy, w, h).
        b: the same.

    Returns:
        ``[...]`` in [0, 1]; 0 where both boxes are empty.
    """
    low = torch.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)  # [..., 2]
    high = torch.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)  # [..., 2]
    width, height = (high - low).clamp_min(0).unbind(-1)  # each [...]
    intersection = width * height
    union = a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - intersection
    return intersection / (union + 1e-16)
