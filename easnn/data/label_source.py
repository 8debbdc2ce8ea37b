"""The files of a dataset: which recordings it has, and how their boxes are read."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np

from easnn.data.box_checks import check_class_ids, check_order_and_numbers, clip_to_frame
from easnn.data.detection_dataset import DetectionDataset
from easnn.data.label_filter import LabelFilter
from easnn.representations import FrameSpec
from easnn.utils.errors import ConfigError, DataError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class RecordingFiles:
    """The two files of a recording; ``name`` is the common part of their names."""

    name: str
    events_path: Path
    boxes_path: Path


class LabelSource(ABC):
    """The recordings of some splits, in whatever format, and their boxes.

    A subclass is constructed from file names and at most the header of one recording, and reads the
    files of a recording when asked. It calls this constructor and sets the attributes that this one
    does not set.

    Attributes:
        name: name of the dataset, as in the key ``data_name``.
        root: folder of the dataset.
        splits: names of the splits.
        split: the same, joined by ``+``.
        recordings: the recordings, in the order of the splits and then of their names.
        class_names: name of each class id, in order.
        dropped_classes: names of the class ids after those; their boxes are dropped.
        class_file: the file in which a user may declare other classes, if there is one.
        sensor_hw: height and width of the sensor, in the pixels of the boxes.
        clip_boxes: whether boxes are clipped to the frame in training and evaluation.
        label_filter: drops boxes; a time at which none is left is not a labelled frame.

    Args:
        root: folder of the dataset.
        splits: name of a split, or several.
    """

    name: str
    recordings: Sequence[RecordingFiles]
    class_names: tuple[str, ...]
    sensor_hw: tuple[int, int]
    dropped_classes: tuple[str, ...] = ()
    class_file: Path | None = None
    clip_boxes = False
    label_filter: LabelFilter | None = None

    def __init__(self, root: Path | str, splits: str | Sequence[str]) -> None:
        self.root = Path(root)
        self.splits = (splits,) if isinstance(splits, str) else tuple(splits)
        self.split = "+".join(self.splits)

    @abstractmethod
    def boxes(self, files: RecordingFiles) -> np.ndarray:
        """Read all boxes [N] (BOX_DTYPE) of a recording, sorted by time.

        Raises:
            DataError: if they cannot be read.
        """

    @abstractmethod
    def dataset(
        self,
        spec: FrameSpec,
        *,
        num_classes: int,
        downsample: int = 1,
        cache_dir: Path | None = None,
    ) -> DetectionDataset:
        """Return the labelled frames of the recordings.

        Args:
            spec: which events before a label form its frame, and how they are represented.
            num_classes: number of classes of the detector.
            downsample: factor by which the resolution of events and boxes is reduced.
            cache_dir: folder of caches, where labels may be kept for the next start.

        Raises:
            ConfigError: if the dataset does not fit these settings.
            DataError: if boxes cannot be read, or nothing is labelled.
        """

    def dropping_invalid(self) -> Self:
        """Return a source that drops single events outside of the sensor (key ``drop_invalid``).

        Raises:
            ConfigError: if its frames are not made from events here.
        """
        raise ConfigError(
            f"`drop_invalid` must be False for {self.root}, whose frames are not made from events "
            "here, but is True."
        )

    def filtering_labels(self, label_filter: LabelFilter) -> Self:
        """Return a source whose :attr:`label_filter` is this one (key ``label_filter``).

        Raises:
            ConfigError: if its labels have been filtered already.
        """
        source = copy.copy(self)
        source.label_filter = label_filter
        return source

    def checked_boxes(self, files: RecordingFiles) -> np.ndarray:
        """Return the :meth:`boxes` of a recording that belong to ``class_names``, checked.

        Raises:
            DataError: if they cannot be read, are not sorted by time or not finite, or have an
                unknown class.
        """
        boxes = self.boxes(files)
        known_classes = (*self.class_names, *self.dropped_classes)
        check_class_ids(boxes, known_classes, files.boxes_path, self.class_file)
        boxes = boxes[boxes["class_id"] < len(self.class_names)]
        check_order_and_numbers(boxes, files.boxes_path)
        return boxes

    def frame_boxes(self, files: RecordingFiles) -> np.ndarray:
        """Return the :meth:`checked_boxes` of a recording, filtered, and clipped if ``clip_boxes``.

        Raises:
            DataError: as for the checked boxes.
        """
        boxes = self.checked_boxes(files)
        if self.label_filter is not None:
            boxes = self.label_filter(boxes, self.sensor_hw)
        return clip_to_frame(boxes, self.sensor_hw) if self.clip_boxes else boxes


def reject_shared(root: Path, splits: Sequence[str], recordings: Sequence[RecordingFiles]) -> None:
    """Check that each recording belongs to one split.

    Args:
        root: folder of the dataset.
        splits: names of the splits.
        recordings: those of all these splits.

    Raises:
        DataError: naming some recordings that do not.
    """
    uses = Counter(recording.name for recording in recordings)
    reject_recordings(
        root,
        [name for name, count in uses.items() if count > 1],
        f"in more than one of {', '.join(splits)}",
        "Each recording belongs to one split; remove it from the others.",
    )


def reject_recordings(folder: Path, names: Sequence[str], fault: str, advice: str) -> None:
    """Check that a folder has no recording with some fault.

    Args:
        folder: the folder, for the message.
        names: the recordings with the fault.
        fault: what is wrong with them.
        advice: what to do, a sentence.

    Raises:
        DataError: if there are any, naming the first few.
    """
    if names:
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        plural = "s" if len(names) > 1 else ""
        raise DataError(f"{folder} has {len(names)} recording{plural} {fault}: {shown}. {advice}")
