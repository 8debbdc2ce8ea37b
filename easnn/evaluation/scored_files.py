"""Detections of any program, and the ground truth that they are scored against.

Both are read from files of COCO or folders of Prophesee's arrays; see
:mod:`easnn.evaluation.detection_files`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from easnn.evaluation.detection_files import BOXES_SUFFIX, is_coco
from easnn.evaluation.frame import FrameResult
from easnn.events import read_boxes
from easnn.utils.errors import DataError, did_you_mean
from easnn.utils.files import read_text

LATEST_US = 2**62

TOLERANCE_US = 50_000
"""How far from a label the detections of a recording may be, as in Prophesee's protocol."""


@dataclass(frozen=True)
class GroundTruth:
    """Labelled frames.

    Attributes:
        path: where they were read.
        frames: the frames, without detections.
        image_ids: of each frame in a file of COCO; empty for a folder.
        categories: the class 0, 1, … of each category of COCO; empty for a folder.
        class_names: names of the classes, as far as they are known.
        sensor_hw: height and width of the frames; None if they are not known.
        timed: whether the frames have a recording and a time.
    """

    path: Path
    frames: tuple[FrameResult, ...]
    image_ids: dict[int, int]
    categories: dict[int, int]
    class_names: tuple[str, ...]
    sensor_hw: tuple[int, int] | None
    timed: bool


def read_ground_truth(path: Path) -> GroundTruth:
    """Read the ground truth of COCO (``.json``), or a folder of ``NAME_bbox.npy``, also in folders.

    Boxes of a folder that have no area are left out. Its frames are the times with a box.

    Raises:
        DataError: if a file is missing or damaged, or says something impossible.
    """
    return _coco_ground_truth(path) if is_coco(path) else _prophesee_ground_truth(path)


def read_detections(
    path: Path, truth: GroundTruth, *, tolerance_us: int = TOLERANCE_US
) -> tuple[FrameResult, ...]:
    """Return the frames of the ground truth with the detections of a file or folder.

    Of a folder, those detections belong to a frame whose time is the nearest to its label, if it is
    not further away than ``tolerance_us``; of two times that are equally near, the earlier one.

    Args:
        path: results of COCO (``.json``), or a folder of ``NAME_bbox.npy``, also in folders.
        truth: what the detections belong to.
        tolerance_us: see above.

    Raises:
        DataError: if a file is missing or damaged, or detections do not belong to the ground truth.
    """
    if is_coco(path):
        return _coco_detections(path, truth)
    return _prophesee_detections(path, truth, tolerance_us)


def _json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON file: {error}.") from error


def _entries(path: Path, value: Any, name: str, fields: Sequence[str]) -> list[dict[str, Any]]:
    """Check that a value is a list of objects with the fields, and return it."""
    if not isinstance(value, list):
        raise DataError(f"{path} must hold a list of {name}, but holds {type(value).__name__}.")
    for number, entry in enumerate(value):
        missing = [f for f in fields if not isinstance(entry, dict) or f not in entry]
        if missing:
            raise DataError(
                f"Entry {number} of the {name} in {path} must be an object with "
                f"{', '.join(fields)}, but has no {missing[0]}."
            )
    return value


def _numbers(path: Path, name: str, rows: Callable[[], list[list[float]]]) -> np.ndarray:
    try:
        array = np.asarray(rows(), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"`bbox` of the {name} in {path} must be four numbers, but is not: {error}."
        ) from error
    if array.size and (array.ndim != 2 or array.shape[1] != 4):
        raise DataError(f"`bbox` of the {name} in {path} must be four numbers (x, y, w, h).")
    return array.reshape(-1, 4)


def _coco_ground_truth(path: Path) -> GroundTruth:
    content = _json(path)
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= set(content):
        raise DataError(
            f"{path} must hold the ground truth of COCO, an object with images, annotations and "
            "categories, but does not. Results of COCO are detections, not ground truth."
        )
    images = _entries(path, content["images"], "images", ("id",))
    found = _entries(
        path, content["annotations"], "annotations", ("image_id", "category_id", "bbox")
    )
    categories = _entries(path, content["categories"], "categories", ("id", "name"))
    numbers = _by_id(path, images, "image")
    unordered = _by_id(path, categories, "category")
    classes = {identity: number for number, identity in enumerate(sorted(unordered))}
    boxes = _numbers(path, "annotations", lambda: [a["bbox"] for a in found])
    rows: dict[int, list[tuple[float, ...]]] = defaultdict(list)
    for annotation, box in zip(found, boxes, strict=True):
        if annotation.get("iscrowd") or annotation.get("ignore"):
            raise DataError(
                f"The annotations of {path} must be single objects, but that of image "
                f"{annotation['image_id']} has `iscrowd` or `ignore`. Remove such annotations."
            )
        _known(path, "image", annotation["image_id"], numbers)
        label = _known(path, "category", annotation["category_id"], classes)
        rows[numbers[annotation["image_id"]]].append((label, *box))
    timed = all("time_us" in image and "sequence" in image for image in images)
    for image in images if timed else ():
        time_us = image["time_us"]
        if not isinstance(time_us, int) or not 0 <= time_us <= LATEST_US:
            raise DataError(
                f"`time_us` of image {image['id']} in {path} must be a whole number of at least 0, "
                f"but is {time_us!r:.40}."
            )
    sizes = [(image.get("height"), image.get("width")) for image in images]
    height, width = sizes[0] if sizes and all(size == sizes[0] for size in sizes) else (None, None)
    return GroundTruth(
        path,
        tuple(
            FrameResult(
                number,
                image["time_us"] if timed else 0,
                str(image["sequence"]) if timed else "",
                rows[number],
                [],
            )
            for number, image in enumerate(images)
        ),
        numbers,
        classes,
        tuple(str(categories[unordered[identity]]["name"]) for identity in classes),
        (height, width) if isinstance(height, int) and isinstance(width, int) else None,
        timed,
    )


def _by_id(path: Path, entries: Sequence[dict[str, Any]], kind: str) -> dict[int, int]:
    """Return the number of each entry by its id."""
    numbers: dict[int, int] = {}
    for number, entry in enumerate(entries):
        identity = entry["id"]
        if not isinstance(identity, int) or identity in numbers:
            raise DataError(
                f"{path} must give each {kind} a whole number of its own as id, but {identity!r} "
                f"{'occurs twice' if isinstance(identity, int) else 'is none'}."
            )
        numbers[identity] = number
    return numbers


def _known(path: Path, kind: str, identity: Any, known: dict[int, int]) -> int:
    try:
        return known[identity]
    except (KeyError, TypeError):
        raise DataError(
            f"{path} has a box of {kind} {identity!r}, which the ground truth does not have."
        ) from None


def _coco_detections(path: Path, truth: GroundTruth) -> tuple[FrameResult, ...]:
    if not truth.image_ids:
        raise DataError(
            f"{path} has the results of COCO, which need the ground truth of COCO with the same "
            f"ids of images, but {truth.path} is a folder."
        )
    found = _entries(path, _json(path), "detections", ("image_id", "category_id", "bbox", "score"))
    boxes = _numbers(path, "detections", lambda: [d["bbox"] for d in found])
    rows: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for detection, box in zip(found, boxes, strict=True):
        number = _known(path, "image", detection["image_id"], truth.image_ids)
        label = _known(path, "category", detection["category_id"], truth.categories)
        rows[number].append((label, detection["score"], *box))
    return tuple(replace(frame, detections=rows[frame.frame]) for frame in truth.frames)


def _box_files(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by the name of their recording.

    Raises:
        DataError: if there are none, or two of one name.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} must be a file .json of COCO, or a folder of NAME{BOXES_SUFFIX}, but is "
            f"{'neither' if folder.exists() else 'missing'}."
        )
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob(f"*{BOXES_SUFFIX}")):
        name = path.name.removesuffix(BOXES_SUFFIX)
        if name.startswith("._"):
            continue
        if name in files:
            raise DataError(
                f"{folder} must have one file of {name}, but has {files[name]} and {path}."
            )
        files[name] = path
    if not files:
        raise DataError(f"{folder} has no file NAME{BOXES_SUFFIX}, also not in its folders.")
    return files


def _prophesee_ground_truth(folder: Path) -> GroundTruth:
    frames: list[FrameResult] = []
    highest = -1
    for name, path in _box_files(folder).items():
        boxes = read_boxes(path)
        boxes = boxes[(boxes["w"] > 0) & (boxes["h"] > 0)]
        highest = max(highest, int(boxes["class_id"].max(initial=-1)))
        for time_us in np.unique(boxes["t_us"]):
            rows = _rows(boxes[boxes["t_us"] == time_us], ("class_id", "x", "y", "w", "h"))
            frames.append(FrameResult(len(frames), int(time_us), name, rows, []))
    names = tuple(f"class {number}" for number in range(highest + 1))
    return GroundTruth(folder, tuple(frames), {}, {}, names, None, timed=True)


def _prophesee_detections(
    folder: Path, truth: GroundTruth, tolerance_us: int
) -> tuple[FrameResult, ...]:
    if not truth.timed:
        raise DataError(
            f"{folder} has detections by recording and time, but the images of {truth.path} have "
            "no `sequence` and `time_us`."
        )
    files = _box_files(folder)
    known = {frame.sequence for frame in truth.frames}
    for name in files:
        if name not in known:
            raise DataError(
                f"{files[name]} belongs to no recording of {truth.path}.{did_you_mean(name, known)}"
            )
    boxes_of = {name: read_boxes(path) for name, path in files.items()}
    return tuple(
        replace(frame, detections=_nearest(boxes_of[frame.sequence], frame.time_us, tolerance_us))
        if frame.sequence in boxes_of
        else frame
        for frame in truth.frames
    )


def _nearest(boxes: np.ndarray, time_us: int, tolerance_us: int) -> np.ndarray:
    """Return the rows (class, score, x, y, w, h) of the time that is nearest to ``time_us``."""
    distance = np.abs(boxes["t_us"] - time_us)
    near = distance == distance.min(initial=tolerance_us + 1)
    near &= distance <= tolerance_us
    if near.any():
        near &= boxes["t_us"] == boxes["t_us"][near][0]
    return _rows(boxes[near], ("class_id", "confidence", "x", "y", "w", "h"))


def _rows(boxes: np.ndarray, names: Sequence[str]) -> np.ndarray:
    return np.stack([boxes[name].astype(np.float64) for name in names], axis=1)
