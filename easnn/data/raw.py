"""The raw layout of Prophesee's datasets, ``<root>/<split>/NAME_td.dat`` with boxes ``NAME_bbox.npy``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from easnn.data.info import FILE_NAME, read_dataset_info
from easnn.data.layout import LabelledRecording, find_recordings
from easnn.data.source import RecordingSource
from easnn.events import DatRecording, open_dat, read_boxes
from easnn.utils.errors import DataError


@dataclass(frozen=True)
class RawKind:
    """What a dataset in the raw layout is, as far as its ``dataset.json`` and its headers do not say.

    Attributes:
        class_names: name of each class id, in order.
        dropped_classes: names of the class ids after those; their boxes are dropped.
        sensor_hw: height and width of the sensor in pixels.
        ignored: names of recordings to skip.
    """

    class_names: tuple[str, ...]
    sensor_hw: tuple[int, int]
    dropped_classes: tuple[str, ...] = ()
    ignored: frozenset[str] = frozenset()


class RawSource(RecordingSource):
    """The recordings of some splits in the raw layout.

    ``<root>/dataset.json`` may give the classes and the sensor. Without it, the sensor is that of the first
    recording's header.

    Args:
        root: folder of the dataset.
        splits: name of a folder in it, or several.
        kind: what neither file says.

    Raises:
        DataError: if the layout is incomplete, or ``dataset.json`` or the first recording cannot be read.
    """

    def __init__(self, root: Path | str, splits: str | Sequence[str], kind: RawKind) -> None:
        self.root = Path(root)
        info = read_dataset_info(self.root)
        splits = (splits,) if isinstance(splits, str) else splits
        self.recordings = find_recordings(self.root, splits, ignored=kind.ignored)
        self.class_names = info.class_names or kind.class_names
        self.class_advice = f' Other classes are declared as "class_names" in {self.root / FILE_NAME}.'
        self._dropped = () if info.class_names else kind.dropped_classes
        first_path = self.recordings[0].events_path
        self.sensor_hw = info.sensor_hw or open_dat(first_path).sensor_hw or kind.sensor_hw

    def open(self, path: Path) -> DatRecording:
        """Open a recording; one that does not say its sensor is checked against the dataset's."""
        recording = open_dat(path)
        if recording.sensor_hw is None:
            return open_dat(path, sensor_hw=self.sensor_hw)
        if recording.sensor_hw != self.sensor_hw:
            raise DataError(
                f"{path} must have the sensor size of its dataset, {_size(self.sensor_hw)} (height x width), "
                f"but its header says {_size(recording.sensor_hw)}. Put other sensors in another folder."
            )
        return recording

    def boxes(self, files: LabelledRecording) -> np.ndarray:
        """Read the boxes of a recording without those of dropped classes."""
        boxes = read_boxes(files.boxes_path)
        class_ids, kept = boxes["class_id"], len(self.class_names)
        last_id = kept + len(self._dropped) - 1
        unknown = class_ids[(class_ids < 0) | (class_ids > last_id)]
        if len(unknown):
            names = ", ".join((*self.class_names, *self._dropped))
            raise DataError(
                f"The class ids in {files.boxes_path} must be 0 to {last_id} ({names}), but {len(unknown)} "
                f"of {len(boxes)} boxes have others, like {unknown[0]}. Remove these boxes, or declare all "
                f'classes as "class_names" in {self.root / FILE_NAME}.'
            )
        return boxes[class_ids < kept]


def _size(hw: tuple[int, int]) -> str:
    return f"{hw[0]}x{hw[1]}"
