"""What a dataset holds and what is wrong with it, found without training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from easnn.data.layout import LabelledRecording
from easnn.data.source import LabelSource
from easnn.utils.errors import DataError


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Attributes:
        kind: what, in a few words that are the same for all problems of its kind.
        where: the file or folder.
        detail: the particulars.
        fatal: whether it would stop a training; all else makes its results worse, or means nothing.
    """

    kind: str
    where: str
    detail: str
    fatal: bool = False


@dataclass
class RecordingSurvey:
    """What one recording holds.

    Attributes:
        name: name of the recording.
        events: number of events; for histograms, of those that they count.
        histograms: number of histograms, if the events were made into such.
        duration_us: time from the first event to the last.
        frames: number of distinct times of the labels.
        boxes: number of boxes of each class.
        digest: the same for the same events, None if they cannot be read.
        problems: what is wrong with it.
    """

    name: str
    boxes: list[int]
    events: int = 0
    histograms: int = 0
    duration_us: int = 0
    frames: int = 0
    digest: str | None = None
    problems: list[Problem] = field(default_factory=list)


def survey_recording(source: LabelSource, files: LabelledRecording, reach_us: int | None) -> RecordingSurvey:
    """Read all events and boxes of a recording.

    Args:
        source: where it belongs.
        files: the recording.
        reach_us: how far before a label its events may lie, None for anywhere in the recording.
    """
    survey = RecordingSurvey(files.name, boxes=[0] * len(source.class_names))
    label_times_us = np.empty(0, np.int64)
    try:
        boxes = source.checked_boxes(files)
        label_times_us = np.unique(boxes["t_us"])
        survey.frames = len(label_times_us)
        survey.boxes = np.bincount(boxes["class_id"], minlength=len(survey.boxes)).tolist()
        survey.problems += _box_problems(boxes, source.sensor_hw, str(files.boxes_path))
    except DataError as error:
        survey.problems.append(Problem("unreadable labels", str(files.boxes_path), str(error), fatal=True))
    try:
        contents = source.contents(files, label_times_us)
    except DataError as error:
        survey.problems.append(Problem("unreadable events", str(files.events_path), str(error), fatal=True))
        return survey
    survey.events, survey.histograms = contents.events, contents.histograms
    survey.duration_us, survey.digest = contents.duration_us, contents.digest
    if contents.late_events:
        detail = f"{contents.late_events} of {survey.events} events come after a later one"
        survey.problems.append(Problem("unsorted times", str(files.events_path), detail))
    if reach_us is not None and (contents.silence_us >= reach_us).any():
        silent = label_times_us[contents.silence_us >= reach_us]
        detail = f"{len(silent)} of {survey.frames} labelled times, the first at {silent[0]} µs"
        survey.problems.append(Problem("labels without events", str(files.boxes_path), detail))
    return survey


def shared_recordings(splits: Mapping[str, Sequence[RecordingSurvey]]) -> list[Problem]:
    """Return which recordings are in more than one split, by name or by their events."""
    by_name: dict[str, list[str]] = defaultdict(list)
    by_digest: dict[str, list[str]] = defaultdict(list)
    for split, surveys in splits.items():
        for survey in surveys:
            by_name[survey.name].append(split)
            if survey.digest is not None:
                by_digest[survey.digest].append(f"{split}/{survey.name}")
    problems = [
        Problem("recording in several splits", name, f"in {', '.join(uses)}")
        for name, uses in by_name.items()
        if len(uses) > 1
    ]
    for places in by_digest.values():
        if len({place.split("/")[0] for place in places}) > 1:
            problems.append(
                Problem("same events in several splits", places[0], f"also {', '.join(places[1:])}")
            )
        elif len(places) > 1:
            problems.append(
                Problem("same events twice in a split", places[0], f"also {', '.join(places[1:])}")
            )
    return problems


def _box_problems(boxes: np.ndarray, sensor_hw: tuple[int, int], path: str) -> Iterable[Problem]:
    height, width = sensor_hw
    left, top = boxes["x"], boxes["y"]
    right, bottom = left + boxes["w"], top + boxes["h"]
    flat = (boxes["w"] <= 0) | (boxes["h"] <= 0)
    outside = (right <= 0) | (bottom <= 0) | (left >= width) | (top >= height)
    partly = ~outside & ((left < 0) | (top < 0) | (right > width) | (bottom > height))
    for kind, wrong in (
        ("boxes without a size", flat),
        ("boxes outside of the frame", outside & ~flat),
        ("boxes partly out of the frame", partly & ~flat),
    ):
        if wrong.any():
            first = boxes[wrong.argmax()]
            detail = (
                f"{np.count_nonzero(wrong)} of {len(boxes)}, the first at {first['t_us']} µs: "
                f"x={first['x']:g}, y={first['y']:g}, w={first['w']:g}, h={first['h']:g}"
            )
            yield Problem(kind, path, detail)
