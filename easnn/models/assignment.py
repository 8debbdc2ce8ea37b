"""SimOTA (Ge et al., YOLOX, 2021), for a whole batch at once: which anchor points learn which box.

Only anchors near the centre of some box are candidates. At most 3×3 per feature map are near one box, so what
relates boxes and anchors has the size ``[B, N, K]`` with K ≤ 27·N instead of ``[B, N, A]``. Every shape is
known beforehand and nothing waits for a value: what is not there is masked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from easnn.models.anchors import STRIDES, AnchorGrid
from easnn.ops.boxes import box_iou, cxcywh_to_xyxy

CENTRE_RADIUS = 1.5
CANDIDATES_PER_BOX = 9 * len(STRIDES)
TOP_IOUS = 10
IOU_WEIGHT = 3.0
OFF_CENTRE_COST = 1e6


@dataclass(frozen=True)
class GroundTruth:
    """The boxes of each image, filled up to the same number.

    Attributes:
        boxes_px: ``[B, N, 4]`` (cx, cy, w, h).
        classes: ``[B, N]`` class numbers.
        real: ``[B, N]`` false for those that fill up.
    """

    boxes_px: Tensor
    classes: Tensor
    real: Tensor

    @classmethod
    def of(cls, targets: Tensor, dtype: torch.dtype) -> GroundTruth:
        """Read ``[B, N, 5]`` (class, cx, cy, w, h in pixels); a row is real if its box has an area."""
        boxes_px = targets[..., 1:].to(dtype)
        return cls(boxes_px, targets[..., 0].long(), (boxes_px[..., 2:] > 0).all(-1))


@dataclass(frozen=True)
class Candidates:
    """The anchors near the boxes of each image, filled up to the same number.

    Attributes:
        anchors: ``[B, K]`` their numbers, ascending.
        valid: ``[B, K]`` false for those that fill up.
        points_px: ``[B, K, 2]`` their centres (x, y).
        strides_px: ``[B, K, 1]`` their strides.
    """

    anchors: Tensor
    valid: Tensor
    points_px: Tensor
    strides_px: Tensor

    def take(self, values: Tensor) -> Tensor:
        """Pick what the candidates have in ``[B, A, C]``: ``[B, K, C]``."""
        return values.gather(1, self.anchors[..., None].expand(-1, -1, values.shape[-1]))


@dataclass(frozen=True)
class Assignment:
    """What each candidate learns.

    Attributes:
        positive: ``[B, K]`` whether it learns a box at all.
        box: ``[B, K]`` the number of that box; meaningless where not positive.
        iou: ``[B, K]`` the overlap of that box with what the anchor predicts now; 0 where not positive.
    """

    positive: Tensor
    box: Tensor
    iou: Tensor


def find_candidates(truth: GroundTruth, grid: AnchorGrid) -> Candidates:
    """Collect the anchors that are less than 1.5 strides away, on each axis, from the centre of some box."""
    centre_x, centre_y = truth.boxes_px[..., 0:1], truth.boxes_px[..., 1:2]
    near_some = []
    maps = torch.split(grid.points_px, [height * width for height, width in grid.sizes])
    for points, (height, width), stride in zip(maps, grid.sizes, STRIDES, strict=True):
        # A square is a product of two intervals, so the union of all boxes' squares is a matrix product.
        in_columns = _near(centre_x, points[:width, 0], stride) & truth.real[..., None]
        in_rows = _near(centre_y, points.view(height, width, 2)[:, 0, 1], stride)
        boxes_nearby = in_rows.to(points.dtype).transpose(1, 2) @ in_columns.to(points.dtype)
        near_some.append(boxes_nearby.flatten(1) > 0)
    near = torch.cat(near_some, dim=1)
    total = near.shape[1]
    # The largest keys are the anchors nearby, in ascending order of their numbers.
    keys = near * torch.arange(total, 0, -1, device=near.device)
    keys = keys.topk(min(total, CANDIDATES_PER_BOX * truth.real.shape[1]), dim=1).values
    valid = keys > 0
    anchors = (total - keys) * valid
    return Candidates(anchors, valid, grid.points_px[anchors], grid.strides_px[anchors])


def assign(
    truth: GroundTruth,
    candidates: Candidates,
    predicted_px: Tensor,
    object_logits: Tensor,
    class_logits: Tensor,
) -> Assignment:
    """Give each box the candidates that are cheapest for it, as many as their overlaps suggest.

    The cost of a pair is the binary cross entropy between √(objectness · class probability) and the box's
    class, summed over the classes, plus 3·(−log IoU), plus 10⁶ if the anchor is not near this very box. A box
    gets as many anchors as its ten largest IoUs add up to, at least one. An anchor that several boxes claim
    goes to the one for which it is cheapest. An image without boxes has no positive anchors.

    Args:
        truth: the boxes.
        candidates: the anchors near them.
        predicted_px: ``[B, K, 4]`` the boxes (cx, cy, w, h) that the candidates predict, without gradient.
        object_logits: ``[B, K, 1]`` likewise.
        class_logits: ``[B, K, C]`` likewise.
    """
    pair = truth.real[:, :, None] & candidates.valid[:, None, :]
    overlap = box_iou(cxcywh_to_xyxy(truth.boxes_px), cxcywh_to_xyxy(predicted_px)) * pair
    x, y = candidates.points_px[:, None].unbind(-1)
    stride = candidates.strides_px[:, None, :, 0]
    near = _near(truth.boxes_px[..., 0:1], x, stride) & _near(truth.boxes_px[..., 1:2], y, stride)
    cost = _class_cost(object_logits, class_logits, truth.classes)
    cost = cost - IOU_WEIGHT * torch.log(overlap + 1e-8) + OFF_CENTRE_COST * ~near
    cost = cost.masked_fill(~pair, torch.inf)

    most = min(TOP_IOUS, cost.shape[-1])
    wanted = overlap.topk(most).values.sum(-1, keepdim=True).int().clamp_min(1)
    cheapest = cost.topk(most, largest=False).indices
    within = torch.arange(most, device=cost.device) < wanted
    claims = torch.zeros_like(pair).scatter(-1, cheapest, within) & pair

    claimants = claims.sum(1)
    box = torch.where(claimants > 1, cost.argmin(1), claims.int().argmax(1))
    positive = claimants > 0
    iou = overlap.gather(1, box[:, None])[:, 0] * positive
    return Assignment(positive, box, iou)


def _near(centre: Tensor, points: Tensor, stride: Tensor | int) -> Tensor:
    return (points - centre).abs() < CENTRE_RADIUS * stride


def _class_cost(object_logits: Tensor, class_logits: Tensor, classes: Tensor) -> Tensor:
    """Return the summed binary cross entropy ``[B, N, K]`` of every box with every candidate.

    It is that of an anchor with no class at all, changed in the term of the box's own class: no
    ``[B, N, K, C]`` is needed.
    """
    probability = (class_logits.sigmoid() * object_logits.sigmoid()).sqrt()
    minus_log_yes = -probability.log().clamp_min(-100)
    minus_log_no = -(-probability).log1p().clamp_min(-100)
    change = (minus_log_yes - minus_log_no).transpose(1, 2)
    own_class = classes[..., None].expand(-1, -1, change.shape[-1])
    return minus_log_no.sum(-1)[:, None] + change.gather(1, own_class)
