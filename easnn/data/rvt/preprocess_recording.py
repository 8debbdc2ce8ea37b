"""Preprocessing of one recording for RVT."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

import numpy as np

from easnn.data.box_checks import check_class_ids
from easnn.data.dataset_json import FILE_NAME
from easnn.data.label_source import RecordingFiles
from easnn.data.prophesee_layout import open_with_sensor
from easnn.data.rvt.rvt_rules import (
    HISTOGRAM_US,
    RvtRules,
    histogram_ends,
    label_frames,
)
from easnn.data.rvt.sequence_writer import SequencePlan, check_same, write_sequence
from easnn.events import Recording, open_recording, read_boxes
from easnn.representations import stacked_histogram
from easnn.utils.errors import DataError


class Status(Enum):
    """How the preprocessing of a recording ended."""

    MADE = "made"
    THERE = "there already"
    UNLABELLED = "without labels"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """The result of preprocessing a recording.

    Attributes:
        split: its split.
        status: how it ended.
        frames: labelled frames of the sequence.
        boxes: boxes of the sequence.
        histograms: histograms of the sequence.
        events: events that were read.
        error: the reason of a failure.
    """

    split: str
    status: Status
    frames: int = 0
    boxes: int = 0
    histograms: int = 0
    events: int = 0
    error: str = ""


@dataclass(frozen=True)
class Task:
    """One recording to preprocess.

    Attributes:
        files: the recording.
        split: its split.
        out: folder of its sequence.
        rules: how it is preprocessed.
        class_names: name of each class id that is kept, in order.
        dropped_classes: names of the class ids after those; their boxes are dropped.
        sensor_hw: height and width of the sensor in pixels.
        root: folder of the raw recordings.
        drop_invalid: whether to drop single events outside of the sensor.
    """

    files: RecordingFiles
    split: str
    out: Path
    rules: RvtRules
    class_names: tuple[str, ...]
    dropped_classes: tuple[str, ...]
    sensor_hw: tuple[int, int]
    root: Path
    drop_invalid: bool = False

    def run(self) -> Outcome:
        """Write the sequence, unless it exists already or would have no labels.

        Raises:
            OutputError: if it cannot be written.
        """
        try:
            return self._run()
        except DataError as error:
            return Outcome(self.split, Status.FAILED, error=str(error))

    def _run(self) -> Outcome:
        plan = self._plan()
        if plan is None:
            return Outcome(self.split, Status.UNLABELLED)
        sizes = (len(plan.frames_us), len(plan.boxes), len(plan.ends_us))
        if self.out.exists():
            check_same(self.out, plan)
            return Outcome(self.split, Status.THERE, *sizes)
        opener = partial(open_recording, drop_invalid=self.drop_invalid)
        recording = open_with_sensor(self.files.events_path, self.sensor_hw, opener)
        counter = _EventCounter(recording)
        write_sequence(self.out, plan, counter.histograms(plan, self.sensor_hw))
        return Outcome(self.split, Status.MADE, *sizes, events=counter.events)

    def _plan(self) -> SequencePlan | None:
        """Return the contents of the sequence, or None if no label is left."""
        boxes = read_boxes(self.files.boxes_path)
        known = (*self.class_names, *self.dropped_classes)
        check_class_ids(boxes, known, self.files.boxes_path, self.root / FILE_NAME)
        boxes = self.rules.label_filter(
            boxes[boxes["class_id"] < len(self.class_names)],
            self.sensor_hw,
            training=self.split == "train",
        )
        frames_us = label_frames(np.unique(boxes["t_us"]), self.rules.label_period_us)
        if len(frames_us) == 0:
            return None
        ends_us, numbers = histogram_ends(frames_us)
        height, width = (side // 2 if self.rules.halved else side for side in self.sensor_hw)
        return SequencePlan(
            boxes=boxes[np.isin(boxes["t_us"], frames_us)],
            frames_us=frames_us,
            ends_us=ends_us,
            histogram_numbers=numbers,
            frame_hw=(height, width),
            halved=self.rules.halved,
        )


class _EventCounter:
    """Computes the histograms of a recording and counts the events that it reads."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.events = 0

    def histograms(self, plan: SequencePlan, sensor_hw: tuple[int, int]) -> Iterator[np.ndarray]:
        """Yield the histogram of the 50 ms before each end time, both limits included."""
        for end_us in plan.ends_us.tolist():
            events = self._recording.window(end_us - HISTOGRAM_US, end_us + 1)
            self.events += len(events)
            yield stacked_histogram(events, sensor_hw, every_other=plan.halved)
