"""Files of detections and ground truth that other programs read: COCO JSON and Prophesee's arrays.

- COCO: the results are a list of objects with ``image_id``, ``category_id``, ``bbox`` (x, y, w, h)
  and ``score`` (https://cocodataset.org/#format-results); the ground truth is an object with
  ``images``, ``annotations`` and ``categories``. An image is a labelled frame. Beside what COCO
  demands, it has the fields ``sequence`` and ``time_us``.
- Prophesee: a ``NAME_bbox.npy`` for each recording (:mod:`easnn.events`), of which
  ``class_confidence`` is the score.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from easnn.evaluation.frame import FrameResult
from easnn.events import BOX_DTYPE, write_boxes
from easnn.utils.errors import OutputError
from easnn.utils.files import make_directory, write_json

BOXES_SUFFIX = "_bbox.npy"


def is_coco(path: Path) -> bool:
    """Return whether a path names a file of COCO, otherwise a folder of Prophesee's arrays."""
    return path.suffix.lower() == ".json"


def ground_truth_path(path: Path) -> Path:
    """Return where the ground truth of COCO results at ``path`` is written."""
    return path.with_name(f"{path.stem}_ground_truth.json")


def about_path(path: Path) -> Path:
    """Return where it is written which detector made the detections at ``path``."""
    return path.with_name(f"{path.stem}_about.json") if is_coco(path) else path / "about.json"


def refuse_unwritable(path: Path) -> None:
    """Check before an evaluation that its detections can be written to ``path``.

    Raises:
        OutputError: if a folder exists and is not empty, or if nothing can be written there.
    """
    if is_coco(path):
        if path.is_dir():
            raise OutputError(f"{path} is a folder. Choose another name.")
        make_directory(path.parent)
        return
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(
            f"{path} must be an empty folder, a new one, or a file .json, but exists already. "
            "Choose another name or remove it."
        )
    make_directory(path)


def write_detections(
    path: Path,
    frames: Sequence[FrameResult],
    class_names: Sequence[str],
    sensor_hw: tuple[int, int],
    about: dict[str, Any],
) -> int:
    """Write the detections of an evaluation, and what made them.

    A file ``.json`` gets the results of COCO, and beside it the ground truth; anything else is a
    folder with an array for each recording.

    Args:
        path: the file or folder.
        frames: the frames, with detections and ground truth in sensor pixels.
        class_names: names of the classes 0, 1, …; categories of COCO are numbered from 1.
        sensor_hw: height and width of the frames.
        about: what made them, for :func:`about_path`.

    Returns:
        The number of detections that are left out: a number of them is not finite, or their size
        is negative.

    Raises:
        OutputError: if something cannot be written.
    """
    ordered = sorted(frames, key=lambda frame: frame.frame)
    rows = [_as_rows(frame.detections, 6) for frame in ordered]
    valid = [r[np.isfinite(r).all(axis=1) & (r[:, 4:] >= 0).all(axis=1)] for r in rows]
    if is_coco(path):
        results = [
            _coco_detection(frame.frame, row)
            for frame, kept in zip(ordered, valid, strict=True)
            for row in kept.tolist()
        ]
        write_json(ground_truth_path(path), _coco_ground_truth(ordered, class_names, sensor_hw))
        write_json(path, results)
    else:
        make_directory(path)
        for name, boxes in _by_recording(ordered, valid).items():
            write_boxes(path / f"{name}{BOXES_SUFFIX}", boxes)
    write_json(about_path(path), about)
    return sum(map(len, rows)) - sum(map(len, valid))


def _as_rows(rows: Any, width: int) -> np.ndarray:
    array = np.asarray(rows, dtype=np.float64)
    return array if array.size else np.empty((0, width))


def _coco_detection(image: int, row: Sequence[float]) -> dict[str, Any]:
    label, score, *bbox = row
    return {"image_id": image, "category_id": int(label) + 1, "bbox": bbox, "score": score}


def _coco_ground_truth(
    frames: Sequence[FrameResult], class_names: Sequence[str], sensor_hw: tuple[int, int]
) -> dict[str, Any]:
    height, width = sensor_hw
    images = [
        {
            "id": frame.frame,
            "file_name": f"{frame.sequence}@{frame.time_us}",
            "width": width,
            "height": height,
            "sequence": frame.sequence,
            "time_us": frame.time_us,
        }
        for frame in frames
    ]
    boxes = [
        (frame.frame, row) for frame in frames for row in _as_rows(frame.ground_truth, 5).tolist()
    ]
    annotations = [
        {
            "id": number,  # from 1: pycocotools takes 0 for no match
            "image_id": image,
            "category_id": int(label) + 1,
            "bbox": bbox,
            "area": bbox[2] * bbox[3],
            "iscrowd": 0,
        }
        for number, (image, (label, *bbox)) in enumerate(boxes, 1)
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(class_names, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _by_recording(
    frames: Sequence[FrameResult], detections: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the detections of each recording (BOX_DTYPE), also of those without any."""
    parts: dict[str, list[np.ndarray]] = defaultdict(list)
    for frame, rows in zip(frames, detections, strict=True):
        boxes = np.zeros(len(rows), BOX_DTYPE)
        boxes["t_us"] = frame.time_us
        boxes["class_id"], boxes["confidence"] = rows[:, 0], rows[:, 1]
        for column, name in enumerate(("x", "y", "w", "h"), 2):
            boxes[name] = rows[:, column]
        parts[frame.sequence].append(boxes)
    return {name: np.concatenate(part) for name, part in parts.items()}
