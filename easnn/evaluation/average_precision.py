"""Average precision and recall, computed by faster-coco-eval.

It is a C++ implementation of pycocotools with the same results; the tests compare the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster

from easnn.evaluation.table import Floats, FrameTable, Integers, Mask

IOU_POSITION = {0.50: 0, 0.75: 5}  # indices into the thresholds 0.50, 0.55, …, 0.95
AREAS = ("all", "small", "medium", "large")  # bounds: 32² and 96² px
AREA_BOUNDS = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e5**2)}
"""Smallest and largest area of a box in px², both included."""
SCORED, IGNORED = 1.0, 3.0
SCORED_AREAS = (0.0, 2.0)
"""COCO ignores ground truth by its area only, so boxes get areas that say whether they count."""
LIMITS = (1, 10, 100)  # maximum detections per frame and class, COCO's maxDets


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision and recall for every setting; −1 without ground truth.

    Attributes:
        precision: ``[IoU thresholds, 101 recall levels, classes, areas, limits]``.
        recall: ``[IoU thresholds, classes, areas, limits]``.
    """

    precision: Floats
    recall: Floats

    def ap(self, iou: float | None = None, area: str = "all", label: int | None = None) -> float:
        """Return the average precision at one or all IoU thresholds, of one or all classes."""
        thresholds = slice(None) if iou is None else IOU_POSITION[iou]
        classes = slice(None) if label is None else label
        return _mean(self.precision[thresholds, :, classes, AREAS.index(area), -1])

    def ar(self, limit: int = LIMITS[-1], area: str = "all", label: int | None = None) -> float:
        """Return the average recall over all IoU thresholds, of one or all classes."""
        classes = slice(None) if label is None else label
        return _mean(self.recall[:, classes, AREAS.index(area), LIMITS.index(limit)])


def precision_recall(
    table: FrameTable, num_classes: int, *, scored: Mask | None = None
) -> PrecisionRecall:
    """Match detections to the ground truth and accumulate, as COCO does.

    In each frame and class, the best 100 detections are matched in descending order of score, each
    to the unmatched ground-truth box with the highest IoU. Detections of equal score are ordered by
    frame number, so the result does not depend on the order in which frames were added.

    Args:
        table: the frames.
        num_classes: number of classes.
        scored: which boxes are scored, ``[N]``; None for all. The others are ignored: a detection
            that matches one of them does not count, unless it matches a scored box, too. The result
            is then for the area ``all`` only.
    """
    size = (table.counts.frames, num_classes)
    best = _best_of_frame_and_class(table, num_classes)
    truth = np.insert(table.boxes, 1, 1, axis=1)  # adds an unused score column
    found = table.detections[best]
    areas = [rows[:, 4] * rows[:, 5] for rows in (truth, found)]
    if scored is not None:
        areas = [np.where(scored, SCORED, IGNORED), np.full(len(found), SCORED)]
    evaluation = COCOeval_faster(
        _coco(*size, truth, table.box_frame, areas[0]),
        _coco(*size, found, table.detection_frame[best], areas[1]),
        "bbox",
        print_function=_silent,
    )
    evaluation.params.maxDets = list(LIMITS)
    if scored is not None:
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [list(SCORED_AREAS)], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    return PrecisionRecall(evaluation.eval["precision"], evaluation.eval["recall"])


def _best_of_frame_and_class(table: FrameTable, num_classes: int) -> Integers:
    """Return the indices of the detections that count; COCO would store the others, too."""
    group = table.detection_frame * num_classes + table.detections[:, 0]
    order = np.lexsort((-table.detections[:, 1], group))
    group = group[order]
    rank = np.arange(len(order)) - np.searchsorted(group, group)
    return order[rank < LIMITS[-1]]


def _coco(num_frames: int, num_classes: int, rows: Floats, frames: Integers, areas: Floats) -> COCO:
    """Return boxes as a COCO dataset.

    All ids start at 1, because COCO interprets a match with id 0 as no match.

    Args:
        num_frames: number of frames.
        num_classes: number of classes.
        rows: ``[N, 6]``: class, score, x, y, w, h.
        frames: ``[N]``: index of the frame of each row.
        areas: ``[N]``: what COCO's limits of the area apply to.
    """
    coco = COCO()
    coco.dataset = {
        "images": [{"id": frame} for frame in range(1, num_frames + 1)],
        "categories": [{"id": label} for label in range(1, num_classes + 1)],
        "annotations": [
            {
                "id": number,
                "image_id": frame + 1,
                "category_id": int(label) + 1,
                "score": score,
                "bbox": box,
                "area": area,
                "iscrowd": 0,
            }
            for number, (frame, (label, score, *box), area) in enumerate(
                zip(frames.tolist(), rows.tolist(), areas.tolist(), strict=True), start=1
            )
        ],
    }
    coco.createIndex()
    return coco


def _silent(*_words: object) -> None:
    """Print nothing."""


def _mean(values: npt.NDArray[np.float64]) -> float:
    """Return the mean over the entries with ground truth, NaN if there are none."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else float("nan")
