"""Recordings and boxes as they lie on the disk, before anything is made of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from easnn.data.layout import LabelledRecording
from easnn.events import StoredRecording


class RecordingSource(ABC):
    """The recordings of some splits and their boxes.

    A subclass sets the attributes when it is made, from names of files and at most the header of one
    recording, and reads the files of one recording when asked.

    Attributes:
        root: folder of the dataset.
        recordings: the recordings, in the order of the splits and then of the names.
        class_names: name of each class id, in order.
        sensor_hw: height and width of the sensor in pixels.
        class_advice: what to do if these are not the classes, as a sentence after a space.
        clip_boxes: whether boxes end at the border of the frame in training and evaluation.
        timeless: whether a label belongs to its recording as a whole, rather than to a time.
    """

    root: Path
    recordings: list[LabelledRecording]
    class_names: tuple[str, ...]
    sensor_hw: tuple[int, int]
    class_advice = ""
    clip_boxes = False
    timeless = False

    def settings(self) -> str:
        """Return what events and boxes follow from beside their files and the code: the other attributes."""
        about_files = ("root", "recordings", "class_advice")
        return repr({name: value for name, value in sorted(vars(self).items()) if name not in about_files})

    @abstractmethod
    def open(self, path: Path) -> StoredRecording:
        """Open the recording with the events of ``path``; its sensor is that of the dataset.

        Raises:
            DataError: if it cannot be opened or has another sensor.
        """

    @abstractmethod
    def boxes(self, files: LabelledRecording) -> np.ndarray:
        """Read the boxes [N] (BOX_DTYPE) of a recording, sorted by time, with classes of ``class_names``.

        Raises:
            DataError: if they cannot be read, or have an unknown class.
        """
