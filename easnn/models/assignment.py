"""SimOTA: which anchor points learn which ground-truth box (Ge et al., YOLOX, 2021), for a whole batch at once.

Only anchors near the centre of some box are candidates, at most ``27`` per box: those with less than 1.5 strides
between their point and the centre on each axis are 3×3 per feature map. So everything that relates boxes and anchors is of size
``[B, N, K]`` with K ≤ 27·N instead of ``[B, N, A]``, and every shape is known beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from easnn.models.anchors import STRIDES, AnchorGrid
from easnn.ops.boxes import box_iou, cxcywh_to_xyxy

CENTRE_RADIUS = 1.5
CANDIDATES_PER_BOX = 9 * len(STRIDES)
TOP_IOUS = 10
IOU_WEIGHT = 3.0
OFF_CENTRE_COST = 1e6


@dataclass(frozen=True)
class Candidates:
    """The anchors near the boxes of each image.

    Attributes:
        anchors: ``[B, K]`` their numbers, ascending; filled up with 0.
        valid: ``[B, K]`` false for those that fill up.
    """

    anchors: Tensor
    valid: Tensor

    def take(self, values: Tensor) -> Tensor:
        """Pick ``values[b, anchors[b, k]]`` from ``[B, A, C]``: ``[B, K, C]``."""
        return values.gather(1, self.anchors[..., None].expand(-1, -1, values.shape[-1]))


@dataclass(frozen=True)
class Assignment:
    """What each candidate learns.

    Attributes:
        positive: ``[B, K]`` whether it learns a box at all.
        box: ``[B, K]`` the number of that box; meaningless where not positive.
        iou: ``[B, K]`` its overlap with what the anchor predicts now; 0 where not positive.
    """

    positive: Tensor
    box: Tensor
    iou: Tensor


def find_candidates(boxes_px: Tensor, real: Tensor, grid: AnchorGrid) -> Candidates:
    """Collect the anchors that are near the centre of at least one box.

    Args:
        boxes_px: ``[B, N, 4]`` (cx, cy, w, h).
        real: ``[B, N]`` false for padding.
        grid: the A anchors.
    """
    near_any = []
    levels = grid.points_px.split([h * w for h, w in grid.sizes])
    for points, (height, width), stride in zip(levels, grid.sizes, STRIDES, strict=True):
        # A square is a product of two intervals: the union over the boxes is one small matrix product.
        columns, rows = points[:width, 0], points.view(height, width, 2)[:, 0, 1]
        near_x = _near(boxes_px[..., :1], columns, stride) & real[..., None]
        near_y = _near(boxes_px[..., 1:2], rows, stride)
        counts = near_y.to(points.dtype).transpose(1, 2) @ near_x.to(points.dtype)
        near_any.append(counts.flatten(1) > 0)
    near = torch.cat(near_any, dim=1)
    total = near.shape[1]
    # Keys fall with the anchor's number, so the largest are the candidates in ascending order.
    keys = near * torch.arange(total, 0, -1, device=near.device)
    keys = keys.topk(min(total, CANDIDATES_PER_BOX * boxes_px.shape[1]), dim=1).values
    valid = keys > 0
    return Candidates((total - keys) * valid, valid)


def assign(
    boxes_px: Tensor,
    classes: Tensor,
    real: Tensor,
    candidates: Candidates,
    points_px: Tensor,
    strides_px: Tensor,
    predicted_px: Tensor,
    object_logits: Tensor,
    class_logits: Tensor,
) -> Assignment:
    """Give each box the candidates that are cheapest for it, as many as their overlaps suggest.

    The cost of a pair is the binary cross entropy between √(objectness · class probability) and the box's class, summed over the
    classes, plus 3·(−log IoU), plus 10⁶ if the anchor is not near this box's centre. A box gets ⌊sum of its ten
    largest IoUs⌋ anchors, at least one. An anchor claimed by several boxes goes to the one for which it is
    cheapest. Images without boxes have no positive anchors.

    Args:
        boxes_px: ``[B, N, 4]`` (cx, cy, w, h).
        classes: ``[B, N]`` class numbers, integer.
        real: ``[B, N]`` false for padding.
        candidates: of :func:`find_candidates`.
        points_px: ``[B, K, 2]`` of the candidates.
        strides_px: ``[B, K, 1]`` likewise.
        predicted_px: ``[B, K, 4]`` the boxes predicted there, without gradient.
        object_logits: ``[B, K, 1]`` likewise.
        class_logits: ``[B, K, C]`` likewise.
    """
    pair = real[:, :, None] & candidates.valid[:, None, :]
    overlap = box_iou(cxcywh_to_xyxy(boxes_px), cxcywh_to_xyxy(predicted_px)) * pair
    near = _near(boxes_px[..., :1], points_px[:, None, :, 0], strides_px[:, None, :, 0])
    near &= _near(boxes_px[..., 1:2], points_px[:, None, :, 1], strides_px[:, None, :, 0])
    cost = _class_cost(object_logits, class_logits, classes)
    cost = cost - IOU_WEIGHT * torch.log(overlap + 1e-8) + OFF_CENTRE_COST * ~near
    cost = cost.masked_fill(~pair, torch.inf)

    most = min(TOP_IOUS, cost.shape[-1])
    wanted = overlap.topk(most).values.sum(-1, keepdim=True).int().clamp_min(1)
    cheapest = cost.topk(most, largest=False).indices
    chosen = torch.arange(most, device=cost.device) < wanted
    claims = torch.zeros_like(pair).scatter_(-1, cheapest, chosen) & pair

    claimants = claims.sum(1)
    box = torch.where(claimants > 1, cost.argmin(1), claims.int().argmax(1))
    positive = claimants > 0
    iou = overlap.gather(1, box[:, None])[:, 0] * positive
    return Assignment(positive, box, iou)


def _near(centre: Tensor, points: Tensor, stride: Tensor | int) -> Tensor:
    return (points - centre).abs() < CENTRE_RADIUS * stride


def _class_cost(object_logits: Tensor, class_logits: Tensor, classes: Tensor) -> Tensor:
    """Return the summed binary cross entropy ``[B, N, K]`` of every box with every candidate.

    A one-hot target differs from none in one term, so no ``[B, N, K, C]`` is needed.
    """
    probability = (class_logits.sigmoid() * object_logits.sigmoid()).sqrt()
    log_yes = probability.log().clamp_min(-100)
    log_no = (-probability).log1p().clamp_min(-100)
    change = (log_no - log_yes).transpose(1, 2)
    own = change.gather(1, classes[..., None].expand(-1, -1, change.shape[-1]))
    return own - log_no.sum(-1)[:, None]
