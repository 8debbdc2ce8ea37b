"""SimOTA and the losses image by image, as in YOLOX."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits, one_hot

from easnn.models.anchors import AnchorGrid, decode_boxes, encode_boxes
from easnn.models.assignment import CENTRE_RADIUS, IOU_WEIGHT, OFF_CENTRE_COST, TOP_IOUS
from easnn.models.losses import BOX_WEIGHT, paired_iou
from easnn.ops.boxes import box_iou, cxcywh_to_xyxy


class ImageAssignment(NamedTuple):
    """The anchors of an image that learn a box.

    Attributes:
        positive: ``[A]`` which anchors do, bool.
        box: ``[P]`` the number of the box of each positive anchor.
        iou: ``[P]`` the IoU of that box with the predicted one.
    """

    positive: Tensor
    box: Tensor
    iou: Tensor


def published_losses(raw: Tensor, targets: Tensor, grid: AnchorGrid) -> dict[str, Tensor]:
    """Return the losses of :func:`~easnn.models.losses.detection_losses`, in one process.

    Args:
        raw: ``[B, A, 5 + C]`` box (4), objectness, classes.
        targets: ``[B, N, 5]`` (class, cx, cy, w, h in pixels); rows without an area are padding.
        grid: the A anchors.
    """
    classes = raw.shape[-1] - 5
    predicted = decode_boxes(raw[..., :4], grid.points_px, grid.strides_px)  # [B, A, 4]
    objects, box_rows, wanted_rows, raw_rows, l1_rows, logit_rows, quality_rows = (
        [] for _ in range(7)
    )
    positives, boxes = 0, 0
    for outputs, predicted_px, rows in zip(raw, predicted, targets.to(raw.dtype), strict=True):
        truth = rows[: int((rows[:, 3:] > 0).all(-1).sum())]  # [N, 5]
        assigned = assign_image(outputs.detach(), predicted_px.detach(), truth, grid)
        wanted = truth[assigned.box, 1:]  # [P, 4]
        points, strides = grid.points_px[assigned.positive], grid.strides_px[assigned.positive]
        own_class = one_hot(truth[assigned.box, 0].long(), classes)  # [P, C]
        objects.append(assigned.positive.to(raw.dtype))
        box_rows.append(predicted_px[assigned.positive])
        wanted_rows.append(wanted)
        raw_rows.append(outputs[assigned.positive, :4])
        l1_rows.append(encode_boxes(wanted, points, strides))
        logit_rows.append(outputs[assigned.positive, 5:])
        quality_rows.append(own_class * assigned.iou[:, None])
        positives, boxes = positives + len(assigned.box), boxes + len(truth)

    share = max(positives, 1)
    overlap = paired_iou(torch.cat(box_rows), torch.cat(wanted_rows))  # [P]
    object_loss = binary_cross_entropy_with_logits(
        raw[..., 4], torch.stack(objects), reduction="sum"
    )
    class_loss = binary_cross_entropy_with_logits(
        torch.cat(logit_rows), torch.cat(quality_rows), reduction="sum"
    )
    terms = {
        "iou_loss": BOX_WEIGHT * (1 - overlap**2).sum() / share,
        "l1_loss": (torch.cat(raw_rows) - torch.cat(l1_rows)).abs().sum() / share,
        "conf_loss": object_loss / share,
        "cls_loss": class_loss / share,
    }
    return {
        "total_loss": torch.stack(list(terms.values())).sum(),
        **terms,
        "num_fg": raw.new_tensor(share / max(boxes, 1)),
    }


@torch.no_grad()
def assign_image(
    outputs: Tensor, predicted_px: Tensor, truth: Tensor, grid: AnchorGrid
) -> ImageAssignment:
    """Assign the anchors of one image.

    Args:
        outputs: ``[A, 5 + C]`` raw outputs.
        predicted_px: ``[A, 4]`` predicted boxes (cx, cy, w, h).
        truth: ``[N, 5]`` (class, cx, cy, w, h in pixels), without padding.
        grid: the A anchors.
    """
    if len(truth) == 0:
        nothing = outputs.new_zeros(0)
        return ImageAssignment(torch.zeros_like(outputs[:, 4]).bool(), nothing.long(), nothing)
    offset = (grid.points_px[None] - truth[:, None, 1:3]).abs()  # [N, A, 2]
    near = (offset < CENTRE_RADIUS * grid.strides_px).all(-1)  # [N, A]
    positive = near.any(0)  # [A]
    near = near[:, positive]  # [N, K]
    overlap = box_iou(cxcywh_to_xyxy(truth[:, 1:]), cxcywh_to_xyxy(predicted_px[positive]))
    candidates = outputs[positive]
    probability = (candidates[:, 5:].sigmoid() * candidates[:, 4:5].sigmoid()).sqrt()  # [K, C]
    own_class = one_hot(truth[:, 0].long(), outputs.shape[-1] - 5).to(probability)  # [N, C]
    pairs = (len(truth), *probability.shape)  # [N, K, C]
    class_cost = binary_cross_entropy(
        probability.expand(pairs), own_class[:, None].expand(pairs), reduction="none"
    ).sum(-1)
    cost = class_cost - IOU_WEIGHT * torch.log(overlap + 1e-8) + OFF_CENTRE_COST * ~near  # [N, K]
    return _cheapest(cost, overlap, positive)


def _cheapest(cost: Tensor, overlap: Tensor, positive: Tensor) -> ImageAssignment:
    """Give each box its cheapest anchors, and an anchor that several boxes claim to one of them."""
    most = min(TOP_IOUS, cost.shape[1])
    wanted = overlap.topk(most).values.sum(1).int().clamp_min(1).tolist()  # N numbers
    claims = torch.zeros_like(cost, dtype=torch.bool)
    for row, costs, number in zip(claims, cost, wanted, strict=True):
        row[costs.topk(min(number, most), largest=False).indices] = True
    contested = claims.sum(0) > 1  # [K]
    if bool(contested.any()):
        cheapest = cost[:, contested].argmin(0)
        claims[:, contested] = False
        claims[cheapest, contested.nonzero()[:, 0]] = True
    claimed = claims.any(0)  # [K]
    learns = positive.clone()
    learns[positive] = claimed
    box = claims[:, claimed].int().argmax(0)  # [P]
    return ImageAssignment(learns, box, overlap[:, claimed].gather(0, box[None])[0])
