"""Average precision by pycocotools, which is optional."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from easnn.evaluation import FrameResult
from easnn.evaluation.average_precision import LIMITS, PrecisionRecall

Rows = list[dict[str, Any]]


def pycocotools_is_installed() -> bool:
    """Return whether pycocotools can be imported."""
    return importlib.util.find_spec("pycocotools") is not None


def pycocotools_precision_recall(
    frames: Sequence[FrameResult], num_classes: int
) -> PrecisionRecall:
    """Return precision and recall of all frames, as the evaluators of easnn.

    Args:
        frames: ground truth and detections, in the order of their numbers.
        num_classes: number of classes.

    Raises:
        ImportError: without pycocotools.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO()
    truth.dataset = {
        "images": [{"id": number} for number, _ in enumerate(frames, start=1)],
        "categories": [{"id": label + 1} for label in range(num_classes)],
        "annotations": _rows(frames, "ground_truth", first_box=1),
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found = COCO()
        found.dataset = {**truth.dataset, "annotations": _rows(frames, "detections", first_box=2)}
        found.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.params.maxDets = list(LIMITS)
        evaluation.evaluate()
        evaluation.accumulate()
    return PrecisionRecall(evaluation.eval["precision"], evaluation.eval["recall"])


def _rows(frames: Sequence[FrameResult], kind: str, first_box: int) -> Rows:
    """Return the rows of all frames as COCO's annotations.

    Args:
        frames: ground truth and detections.
        kind: which of the two.
        first_box: column of the left side of the boxes; a score, if any, is before it.
    """
    rows: Rows = []
    for image, frame in enumerate(frames, start=1):
        for row in np.asarray(getattr(frame, kind), np.float64).tolist():
            box = row[first_box:]
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": image,
                    "category_id": int(row[0]) + 1,
                    "score": row[1],
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    return rows
