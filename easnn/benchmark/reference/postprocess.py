"""Detections image by image, as in YOLOX."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from easnn.ops.boxes import cxcywh_to_xyxy
from easnn.ops.nms import batched_nms

BatchedNms = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""(boxes, scores, classes, threshold) → indices of the kept boxes, best score first."""


def published_detections(outputs: Tensor, confidence: float, iou_threshold: float) -> list[Tensor]:
    """Return the detections of :func:`~easnn.ops.select_detections`, without limits.

    Args:
        outputs: ``[B, A, 5 + classes]`` cx, cy, w, h in pixels, objectness, class probabilities.
        confidence: minimum score of a detection.
        iou_threshold: maximum IoU of two detections of a class.
    """
    nms = torchvision_nms() or batched_nms
    detections = []
    for image in outputs:
        probability, label = image[:, 5:].max(1)
        score = image[:, 4] * probability
        kept = score >= confidence
        boxes, score, label = cxcywh_to_xyxy(image[kept, :4]), score[kept], label[kept]
        best = nms(boxes, score, label, iou_threshold)
        rows = torch.cat((boxes, score[:, None], label[:, None].to(boxes)), dim=1)
        detections.append(rows[best])
    return detections


@cache
def torchvision_nms() -> BatchedNms | None:
    """Return torchvision's operator; None if torchvision is missing or does not fit torch."""
    try:
        from torchvision.ops import batched_nms as operator
    except (ImportError, OSError, RuntimeError):
        return None
    return operator
