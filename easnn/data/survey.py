"""The contents and the problems of a dataset, found by reading all of it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from easnn.data.label_source import LabelSource, RecordingFiles
from easnn.data.recording_dataset import RecordingSource
from easnn.data.rvt.rvt_dataset import RvtSource
from easnn.data.rvt.rvt_files import SequenceFiles
from easnn.data.rvt.rvt_labels import read_histogram_numbers
from easnn.data.rvt.rvt_rules import HISTOGRAM_US
from easnn.events import StoredRecording
from easnn.representations import event_sum
from easnn.utils.errors import DataError

EVENTS_AT_ONCE = 250_000
LONG_AGO_US = np.iinfo(np.int64).min // 2


@dataclass(frozen=True)
class Problem:
    """A problem of a dataset.

    Attributes:
        kind: a short description, the same for all problems of this kind.
        where: the file or folder.
        detail: the particulars.
        fatal: whether it would stop a training; other problems may make its results worse.
    """

    kind: str
    where: str
    detail: str
    fatal: bool = False


@dataclass(frozen=True)
class RecordingContents:
    """The events or histograms of a recording.

    Attributes:
        events: number of events; for histograms, of those that they count.
        duration_us: time from the first event to the last.
        digest: a checksum; the same for the same events.
        silence_us: for each label, the time since the last event before it, [L].
        histograms: number of histograms, 0 if the recording consists of events.
        late_events: number of events that come after a later one.
        dropped_events: number of events outside of the sensor that are dropped.
    """

    events: int
    duration_us: int
    digest: str
    silence_us: npt.NDArray[np.int64]
    histograms: int = 0
    late_events: int = 0
    dropped_events: int = 0


@dataclass
class RecordingSurvey:
    """Contents and problems of one recording.

    Attributes:
        name: name of the recording.
        events: number of events; for histograms, of those that they count.
        histograms: number of histograms, 0 if the recording consists of events.
        duration_us: time from the first event to the last.
        frames: number of distinct label times.
        boxes: number of boxes of each class.
        digest: a checksum; the same for the same events. None if they cannot be read.
        problems: its problems.
    """

    name: str
    boxes: list[int]
    events: int = 0
    histograms: int = 0
    duration_us: int = 0
    frames: int = 0
    digest: str | None = None
    problems: list[Problem] = field(default_factory=list)


def survey_recording(
    source: LabelSource, files: RecordingFiles, reach_us: int | None
) -> RecordingSurvey:
    """Read all events and boxes of a recording.

    Of a source that is neither a :class:`RecordingSource` nor an :class:`RvtSource`, only the boxes
    are read, because the format of the rest is not known here.

    Args:
        source: the source that the recording belongs to.
        files: the recording.
        reach_us: see :func:`event_reach_us`.
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
        survey.problems.append(
            Problem("unreadable labels", str(files.boxes_path), str(error), fatal=True)
        )
    try:
        contents = read_contents(source, files, label_times_us)
    except DataError as error:
        survey.problems.append(
            Problem("unreadable events", str(files.events_path), str(error), fatal=True)
        )
        return survey
    if contents is None:
        return survey
    survey.events, survey.histograms = contents.events, contents.histograms
    survey.duration_us, survey.digest = contents.duration_us, contents.digest
    if contents.late_events:
        detail = f"{contents.late_events} of {survey.events} events come after a later one"
        survey.problems.append(Problem("unsorted times", str(files.events_path), detail))
    if contents.dropped_events:
        stored = survey.events + contents.dropped_events
        detail = f"{contents.dropped_events} of {stored} events are dropped (`drop_invalid`)"
        problem = Problem("events outside of the sensor", str(files.events_path), detail)
        survey.problems.append(problem)
    if reach_us is not None and (contents.silence_us >= reach_us).any():
        silent = label_times_us[contents.silence_us >= reach_us]
        detail = f"{len(silent)} of {survey.frames} labelled times, the first at {silent[0]} µs"
        survey.problems.append(Problem("labels without events", str(files.boxes_path), detail))
    return survey


def event_reach_us(source: LabelSource, window_ms: int, Tl: int) -> int | None:
    """Return the longest time between an event and a label in whose frame it can be.

    Args:
        source: the recordings.
        window_ms: value of the key ``window``.
        Tl: value of the key ``Tl``.

    Returns:
        The time in µs, or None if a frame is not limited to a part of its recording.
    """
    if isinstance(source, RvtSource):
        return Tl * HISTOGRAM_US
    if isinstance(source, RecordingSource) and not source.timeless and window_ms != 0:
        return -1000 * window_ms * (Tl + 2)
    return None


def read_contents(
    source: LabelSource, files: RecordingFiles, label_times_us: npt.NDArray[np.int64]
) -> RecordingContents | None:
    """Read all events or histograms of a recording.

    Args:
        source: the source that the recording belongs to.
        files: the recording.
        label_times_us: times of its labels [L].

    Returns:
        What was read, or None for a source of another kind.

    Raises:
        DataError: if the recording cannot be read.
    """
    if isinstance(source, RecordingSource):
        return read_all_events(source.open(files.events_path), label_times_us)
    if isinstance(source, RvtSource) and isinstance(files, SequenceFiles):
        return read_all_histograms(source, files, label_times_us)
    return None


def read_all_events(
    recording: StoredRecording, label_times_us: npt.NDArray[np.int64]
) -> RecordingContents:
    """Read all events of a recording with labels at the times ``label_times_us`` [L].

    Raises:
        DataError: if they cannot be read.
    """
    digest = hashlib.sha256()
    last_event_us = np.full(len(label_times_us), LONG_AGO_US)
    stored = len(recording) + recording.dropped_events()
    parts = stored // EVENTS_AT_ONCE + 1
    step_us = (recording.last_us - recording.first_us) // parts + 1
    for part in range(parts):
        start_us = recording.first_us + part * step_us
        events = recording.window(start_us, start_us + step_us)
        digest.update(events.tobytes())
        before = np.searchsorted(events["t_us"], label_times_us)
        last_event_us[before > 0] = events["t_us"][before[before > 0] - 1]
    return RecordingContents(
        events=len(recording),
        duration_us=recording.last_us - recording.first_us,
        digest=digest.hexdigest(),
        silence_us=label_times_us - last_event_us,
        late_events=recording.late_events(),
        dropped_events=recording.dropped_events(),
    )


def read_all_histograms(
    source: RvtSource, files: SequenceFiles, label_times_us: npt.NDArray[np.int64]
) -> RecordingContents:
    """Read all histograms of a sequence with labels at the times ``label_times_us`` [L].

    Raises:
        DataError: if they cannot be read, or do not fit the labels.
    """
    read_histogram_numbers(files)  # checks them
    histograms = source.open(files.events_path)
    ends_us = histograms.end_times_us
    digest, events = hashlib.sha256(), 0
    filled = np.zeros(len(histograms), bool)
    for number in range(len(histograms)):
        counts = event_sum(histograms.last(number, 1))
        digest.update(counts.tobytes())
        filled[number] = counts.any()
        events += int(counts.sum(dtype=np.int64))
    last_filled_us = np.maximum.accumulate(np.where(filled, ends_us, LONG_AGO_US))
    before = np.searchsorted(ends_us, label_times_us, side="right") - 1
    return RecordingContents(
        events=events,
        duration_us=int(ends_us[-1] - ends_us[0]) + HISTOGRAM_US,
        digest=digest.hexdigest(),
        silence_us=label_times_us - np.where(before < 0, LONG_AGO_US, last_filled_us[before]),
        histograms=len(histograms),
    )


def shared_recordings(splits: Mapping[str, Sequence[RecordingSurvey]]) -> list[Problem]:
    """Return the recordings that are in more than one split, by name or by their events."""
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
