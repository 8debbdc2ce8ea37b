"""SimOTA (Ge et al., YOLOX, 2021) for a whole batch: which anchor points learn which box.

Only anchors near the centre of some box are candidates. At most 3×3 per feature map are near one
box, so tensors of pairs have the shape ``[B, N, K]`` with K ≤ 27·N instead of ``[B, N, A]``. On a
GPU no shape depends on a value, so that its host never waits: padding is masked. On a CPU, where
values can be read at once, N and K are the largest numbers that occur in the batch.

Axes: B images, N boxes per image, A anchors, K candidates per image, C classes.
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
    """The boxes of each image, padded to the same number.

    Attributes:
        boxes_px: ``[B, N, 4]`` (cx, cy, w, h).
        classes: ``[B, N]`` class numbers.
        real: ``[B, N]`` false for padding.
    """

    boxes_px: Tensor
    classes: Tensor
    real: Tensor

    @classmethod
    def of(cls, targets: Tensor, dtype: torch.dtype) -> GroundTruth:
        """Read ``[B, N, 5]`` (class, cx, cy, w, h in pixels); rows without an area are padding.

        Where values are at hand, rows that are padding in all images are left out at the end.
        """
        real = (targets[..., 3:] > 0).all(-1)  # [B, N]
        if _values_at_hand(targets):
            used = real.any(0).nonzero()
            rows = int(used[-1]) + 1 if len(used) else 1
            targets, real = targets[:, :rows], real[:, :rows]
        return cls(targets[..., 1:].to(dtype), targets[..., 0].long(), real)


@dataclass(frozen=True)
class Candidates:
    """The anchors near the boxes of each image, padded to the same number.

    Attributes:
        anchors: ``[B, K]`` their numbers, ascending.
        valid: ``[B, K]`` false for padding.
        points_px: ``[B, K, 2]`` their centres (x, y).
        strides_px: ``[B, K, 1]`` their strides.
    """

    anchors: Tensor
    valid: Tensor
    points_px: Tensor
    strides_px: Tensor

    def take(self, values: Tensor) -> Tensor:
        """Return the rows ``[B, K, D]`` of the candidates in those of all anchors ``[B, A, D]``."""
        return values.gather(1, self.anchors[..., None].expand(-1, -1, values.shape[-1]))


@dataclass(frozen=True)
class Assignment:
    """The box that each candidate learns.

    Attributes:
        positive: ``[B, K]`` whether it learns a box.
        box: ``[B, K]`` number of that box; meaningless where not positive.
        iou: ``[B, K]`` IoU of that box with the predicted one; 0 where not positive.
    """

    positive: Tensor
    box: Tensor
    iou: Tensor


def find_candidates(truth: GroundTruth, grid: AnchorGrid) -> Candidates:
    """Return the anchors less than 1.5 strides away, on each axis, from the centre of some box."""
    centre_x, centre_y = truth.boxes_px[..., 0:1], truth.boxes_px[..., 1:2]  # each [B, N, 1]
    near_maps = []
    maps = torch.split(grid.points_px, [height * width for height, width in grid.sizes])
    for points, (height, width), stride in zip(maps, grid.sizes, STRIDES, strict=True):
        column_x = points[:width, 0]  # [w]
        row_y = points.view(height, width, 2)[:, 0, 1]  # [h]
        in_columns = _near(centre_x, column_x, stride) & truth.real[..., None]  # [B, N, w]
        in_rows = _near(centre_y, row_y, stride)  # [B, N, h]
        # An anchor is near a box if its row and its column are: the product counts these boxes.
        rows, columns = in_rows.to(points.dtype), in_columns.to(points.dtype)
        boxes_nearby = rows.transpose(1, 2) @ columns  # [B, h, w]
        near_maps.append(boxes_nearby.flatten(1) > 0)  # [B, h·w]
    near = torch.cat(near_maps, dim=1)  # [B, A]
    place = near.cumsum(1)  # [B, A]: place of a near anchor among those of its image, from 1
    counts = place[:, -1:]  # [B, 1]
    most = (
        max(int(counts.max()), 1)
        if _values_at_hand(counts)
        else min(near.shape[1], CANDIDATES_PER_BOX * truth.real.shape[1])
    )  # K
    numbers = torch.arange(near.shape[1], device=near.device).expand_as(place)  # [B, A]
    # All others go to place 0, which is dropped.
    anchors = place.new_zeros(len(place), 1 + most).scatter(1, place * near, numbers)[:, 1:]
    valid = torch.arange(most, device=near.device) < counts  # [B, K]
    return Candidates(anchors, valid, grid.points_px[anchors], grid.strides_px[anchors])


def assign(
    truth: GroundTruth,
    candidates: Candidates,
    predicted_px: Tensor,
    object_logits: Tensor,
    class_logits: Tensor,
) -> Assignment:
    """Assign to each box its cheapest candidates; their IoUs decide how many.

    The cost of a pair is the binary cross entropy between √(objectness · class probability) and the
    box's class, summed over the classes, plus 3·(−log IoU), plus 10⁶ if the anchor is not near this
    box. The number of anchors of a box is the sum of its ten largest IoUs, rounded down, at least
    one. An anchor that several boxes claim goes to the box for which it is cheapest. An image
    without boxes has no positive anchors.

    Args:
        truth: the boxes.
        candidates: the anchors near them.
        predicted_px: ``[B, K, 4]`` the boxes (cx, cy, w, h) that the candidates predict, without
            gradient.
        object_logits: ``[B, K, 1]`` objectness of the candidates, without gradient.
        class_logits: ``[B, K, C]`` classes of the candidates, without gradient.
    """
    pair = truth.real[:, :, None] & candidates.valid[:, None, :]  # [B, N, K]
    overlap = box_iou(cxcywh_to_xyxy(truth.boxes_px), cxcywh_to_xyxy(predicted_px))  # [B, N, K]
    overlap = overlap.masked_fill(~pair, 0)
    x, y = candidates.points_px[:, None].unbind(-1)  # each [B, 1, K]
    stride = candidates.strides_px[:, None, :, 0]  # [B, 1, K]
    near_x = _near(truth.boxes_px[..., 0:1], x, stride)  # [B, N, K]
    near_y = _near(truth.boxes_px[..., 1:2], y, stride)  # [B, N, K]
    cost = _class_cost(object_logits, class_logits, truth.classes)  # [B, N, K]
    cost = cost - IOU_WEIGHT * torch.log(overlap + 1e-8)
    cost = torch.where(near_x & near_y, cost, cost + OFF_CENTRE_COST)
    cost = cost.masked_fill(~pair, torch.inf)

    most = min(TOP_IOUS, cost.shape[-1])
    wanted = overlap.topk(most).values.sum(-1, keepdim=True).int().clamp_min(1)  # [B, N, 1]
    cheapest = cost.topk(most, largest=False).indices  # [B, N, most]
    within = torch.arange(most, device=cost.device) < wanted  # [B, N, most]
    claims = torch.zeros_like(pair).scatter(-1, cheapest, within) & pair  # [B, N, K]

    claimants = claims.sum(1)  # [B, K]: number of boxes that claim a candidate
    only_claimant, cheapest_box = claims.int().argmax(1), cost.argmin(1)  # each [B, K]
    box = torch.where(claimants > 1, cheapest_box, only_claimant)  # [B, K]
    positive = claimants > 0  # [B, K]
    iou = overlap.gather(1, box[:, None])[:, 0].masked_fill(~positive, 0)  # [B, K]
    return Assignment(positive, box, iou)


def _values_at_hand(tensor: Tensor) -> bool:
    """Return whether shapes may depend on values: reading them costs nothing here."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def _near(centre: Tensor, points: Tensor, stride: Tensor | int) -> Tensor:
    """Return whether points and centres are less than 1.5 strides apart, along one axis."""
    return (points - centre).abs() < CENTRE_RADIUS * stride


def _class_cost(object_logits: Tensor, class_logits: Tensor, classes: Tensor) -> Tensor:
    """Return the summed binary cross entropy ``[B, N, K]`` of every box with every candidate.

    It is that of an anchor without any class, changed in the term of the box's own class. This way,
    no ``[B, N, K, C]`` is needed.
    """
    probability = (class_logits.sigmoid() * object_logits.sigmoid()).sqrt()  # [B, K, C]
    minus_log_yes = -probability.log().clamp_min(-100)  # [B, K, C]
    minus_log_no = -(-probability).log1p().clamp_min(-100)  # [B, K, C]
    without_class = minus_log_no.sum(-1)[:, None]  # [B, 1, K]
    change = (minus_log_yes - minus_log_no).transpose(1, 2)  # [B, C, K]
    own_class = classes[..., None].expand(-1, -1, change.shape[-1])  # [B, N, K]
    return without_class + change.gather(1, own_class)
