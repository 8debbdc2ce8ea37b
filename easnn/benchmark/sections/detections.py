"""Assignment with losses, non-maximum suppression, and average precision."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from easnn.benchmark.inputs import evaluated_frames, head_outputs, network_targets
from easnn.benchmark.reference import (
    published_detections,
    published_losses,
    pycocotools_is_installed,
    pycocotools_precision_recall,
    torchvision_nms,
)
from easnn.benchmark.sections.section import Case, Cases, Section
from easnn.benchmark.settings import Settings, Size, size_text
from easnn.benchmark.timing import Variant
from easnn.evaluation import FrameResult
from easnn.evaluation.average_precision import PrecisionRecall, precision_recall
from easnn.evaluation.table import FrameTable
from easnn.models.anchors import STRIDES, AnchorGrid
from easnn.models.losses import detection_losses
from easnn.ops import select_detections

BOXES = 30
"""Boxes of an image for the assignment."""

CONFIDENCE, IOU_THRESHOLD = 0.05, 0.65
CLASSES = ("car", "pedestrian")

Losses = Callable[[Tensor, Tensor, AnchorGrid], dict[str, Tensor]]


def assignment_cases(settings: Settings) -> Cases:
    """Yield assignment and losses, forward and backward, for the classes of two datasets."""
    for hw in settings.sizes:
        for classes in (2, 100):
            experiment = settings.experiment(
                *(settings.models[0], hw, settings.spikes[0], "num_classes", str(classes))
            )
            grid = anchor_grid(hw)
            rng = torch.Generator().manual_seed(5)
            raw = torch.randn(settings.batch, len(grid.points_px), 5 + classes, generator=rng)
            raw[..., 4:] -= 4  # few objects
            targets = network_targets(experiment, settings.batch, BOXES)
            yield Case(
                {"size": size_text(hw), "classes": str(classes), "boxes": str(BOXES)},
                [
                    Variant(name, partial(_backward, losses, raw, targets, grid), settings.batch)
                    for name, losses in (
                        ("published", published_losses),
                        ("easnn", detection_losses),
                    )
                ],
            )


def nms_cases(settings: Settings) -> Cases:
    """Yield the selection of detections in outputs of the network."""
    note = "torchvision cannot be used here: both rows suppress with plain torch."
    for hw in settings.sizes:
        outputs = head_outputs(len(anchor_grid(hw).points_px), 2, hw, settings.batch)
        score = outputs[..., 4] * outputs[..., 5:].amax(-1)
        candidates = int((score >= CONFIDENCE).sum()) // settings.batch
        yield Case(
            {"size": size_text(hw), "candidates": str(candidates)},
            [
                Variant(name, partial(select, outputs, CONFIDENCE, IOU_THRESHOLD), settings.batch)
                for name, select in (
                    ("published", published_detections),
                    ("easnn", select_detections),
                )
            ],
            notes=() if torchvision_nms() else (note,),
        )


def evaluation_cases(settings: Settings) -> Cases:
    """Yield the average precision of many frames."""
    frames = evaluated_frames(settings.frames, len(CLASSES))
    ours = Variant("easnn (faster-coco-eval)", partial(own_precision, frames), len(frames))
    labels = {"frames": f"{len(frames):,}"}
    if not pycocotools_is_installed():
        note = "pycocotools is not installed, so there is nothing to compare with."
        yield Case(labels, [ours], notes=(note,))
        return
    theirs = partial(pycocotools_precision_recall, frames, len(CLASSES))
    yield Case(labels, [Variant("published (pycocotools)", theirs, len(frames)), ours])


def anchor_grid(hw: Size) -> AnchorGrid:
    """Return the anchors of an input."""
    height, width = hw
    maps = [torch.empty(1, 1, height // stride, width // stride) for stride in STRIDES]
    return AnchorGrid.of(maps, torch.float32)


def own_precision(frames: list[FrameResult]) -> PrecisionRecall:
    """Return precision and recall as the evaluators of easnn compute them."""
    return precision_recall(FrameTable.of(frames, CLASSES), len(CLASSES))


def _backward(losses: Losses, raw: Tensor, targets: Tensor, grid: AnchorGrid) -> None:
    leaf = raw.clone().requires_grad_()
    torch.autograd.backward(losses(leaf, targets, grid)["total_loss"])


ASSIGNMENT = Section("assignment", assignment_cases)
NMS = Section("nms", nms_cases)
EVALUATION = Section("evaluation", evaluation_cases)
