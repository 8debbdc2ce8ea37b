"""Recordings and boxes as they lie on the disk, before anything is made of them."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from easnn.data.box_checks import check_boxes
from easnn.data.contents import Contents, walk_events
from easnn.data.layout import LabelledRecording
from easnn.events import StoredRecording


class LabelSource(ABC):
    """The recordings of some splits, in whatever form, and their boxes.

    A subclass sets the attributes when it is made, from names of files and at most the header of one
    recording, and reads the files of one recording when asked.

    Attributes:
        root: folder of the dataset.
        recordings: the recordings, in the order of the splits and then of the names.
        class_names: name of each class id, in order.
        sensor_hw: height and width of the sensor, in the pixels of the boxes.
        class_advice: what to do if these are not the classes, as a sentence after a space.
        clip_boxes: whether boxes end at the border of the frame in training and evaluation.
    """

    root: Path
    recordings: Sequence[LabelledRecording]
    class_names: tuple[str, ...]
    sensor_hw: tuple[int, int]
    class_advice = ""
    clip_boxes = False

    @abstractmethod
    def boxes(self, files: LabelledRecording) -> np.ndarray:
        """Read the boxes [N] (BOX_DTYPE) of a recording, sorted by time, with classes of ``class_names``.

        Raises:
            DataError: if they cannot be read, or have an unknown class.
        """

    def checked_boxes(self, files: LabelledRecording) -> np.ndarray:
        """Return the :meth:`boxes` of a recording, checked: a subclass may be anybody's.

        Raises:
            DataError: if they cannot be read, are not sorted by time or not finite, or have an unknown class.
        """
        boxes = self.boxes(files)
        check_boxes(boxes, self.class_names, files.boxes_path)
        return boxes

    @abstractmethod
    def contents(self, files: LabelledRecording, label_times_us: np.ndarray) -> Contents:
        """Read all of a recording and tell what there is.

        Args:
            files: the recording.
            label_times_us: times of its labels [L].

        Raises:
            DataError: if it cannot be read.
        """

    @abstractmethod
    def reach_us(self, window_ms: int, Tl: int) -> int | None:
        """Return how far before a label its events may lie, None for anywhere in the recording.

        Args:
            window_ms: value of the key ``window``.
            Tl: value of the key ``Tl``.
        """


class RecordingSource(LabelSource):
    """Recordings of events.

    Attributes:
        timeless: whether a label belongs to its recording as a whole, rather than to a time.
    """

    timeless = False

    def settings(self) -> str:
        """Return what events and boxes follow from beside their files and the code: the other attributes."""
        about_files = ("root", "recordings", "class_advice")
        with np.printoptions(threshold=sys.maxsize, floatmode="unique"):  # or long arrays would be shortened
            return repr(
                {name: value for name, value in sorted(vars(self).items()) if name not in about_files}
            )

    @abstractmethod
    def open(self, path: Path) -> StoredRecording:
        """Open the recording with the events of ``path``; its sensor is that of the dataset.

        Raises:
            DataError: if it cannot be opened or has another sensor.
        """

    def contents(self, files: LabelledRecording, label_times_us: np.ndarray) -> Contents:
        """Read all events; see :class:`LabelSource`."""
        return walk_events(self.open(files.events_path), label_times_us)

    def reach_us(self, window_ms: int, Tl: int) -> int | None:
        """Return the length of all windows that are looked at; see :class:`LabelSource`."""
        return None if self.timeless or window_ms == 0 else -1000 * window_ms * (Tl + 2)
