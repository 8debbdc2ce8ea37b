"""Recordings in the raw layout of the Gen1 automotive detection dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from easnn.data.dataset import DetectionDataset, Frame
from easnn.data.frame import FrameSpec
from easnn.data.info import FILE_NAME, read_dataset_info
from easnn.data.labels import index_labels
from easnn.data.layout import LabelledRecording, find_recordings
from easnn.data.recordings import RecentRecordings
from easnn.events import Recording, open_dat, read_boxes
from easnn.representations import TAU_US, Measure, Slicing
from easnn.utils.errors import ConfigError, DataError

GEN1_CLASSES = ("car", "pedestrian")
GEN1_SENSOR_HW = (240, 304)

IGNORED_SEQUENCES = frozenset(
    {
        "17-04-06_09-57-37_6344500000_6404500000",
        "17-04-06_15-14-36_1159500000_1219500000",
        "17-04-11_15-13-23_122500000_182500000",
        "17-04-13_19-17-27_976500000_1036500000",
    }
)
"""Gen1 recordings that published work leaves out, because their labels vanish under its filters."""

OPEN_RECORDINGS = 64
"""Recordings that each process keeps open."""


class Gen1Dataset(DetectionDataset):
    """Labelled frames of recordings ``<root>/<split>/NAME_td.dat`` with boxes ``NAME_bbox.npy``.

    There is one frame for each distinct time of a recording's labels; its events are those of the window
    that ends there. Constructing reads the box files and the header of one recording; a recording is opened
    when one of its frames is loaded. ``<root>/dataset.json`` may give the classes and the sensor. Without
    it the classes are those of Gen1, and the sensor is that of the first recording's header, or else Gen1's.

    Attributes:
        frame_spec: how frames are made; it serves for unlabelled moments, too.
        recordings: the recordings, in the order of their frames.

    Args:
        root: folder of the dataset.
        splits: name of a folder in it, or several.
        window_ms: see :class:`FrameSpec`, as for the next six.
        Tl: 1.
        Tm: micro slices.
        aggregation: name of the representation.
        slicing: how the micro slices are cut.
        measure: what an event adds to its pixel.
        tau_us: time in which an event fades to 1/e.
        num_classes: number of classes that the detector is built for.
        name: value of the key ``data_name``.

    Raises:
        ConfigError: if ``num_classes`` is not the dataset's number of classes.
        DataError: if the layout is incomplete, a box file cannot be read or has a class outside
            ``num_classes``, or nothing is labelled.
    """

    def __init__(
        self,
        root: Path | str,
        splits: str | Sequence[str],
        *,
        window_ms: int,
        Tl: int,
        Tm: int,
        aggregation: str,
        slicing: Slicing = "extent",
        measure: Measure = "count",
        tau_us: int = TAU_US,
        num_classes: int,
        name: str = "gen1",
    ) -> None:
        root = Path(root)
        splits = (splits,) if isinstance(splits, str) else tuple(splits)
        self.name = name
        self.split = "+".join(splits)
        self.frame_spec = FrameSpec(window_ms, Tl, Tm, aggregation, slicing, measure, tau_us)
        info = read_dataset_info(root)
        self.recordings = find_recordings(root, splits, ignored=IGNORED_SEQUENCES)
        self._labels = index_labels(_all_boxes(self.recordings, num_classes))
        if len(self._labels) == 0:
            raise DataError(f"{root} has no label in {self.split}: every NAME_bbox.npy is empty.")
        self.class_names = info.class_names or GEN1_CLASSES
        if num_classes != len(self.class_names):
            raise ConfigError(
                f"`num_classes` must be {len(self.class_names)} ({', '.join(self.class_names)}) for {root}, "
                f'but is {num_classes}. Other classes are declared as "class_names" in {root / FILE_NAME}.'
            )
        first_path = self.recordings[0].events_path
        self.sensor_hw = info.sensor_hw or open_dat(first_path).sensor_hw or GEN1_SENSOR_HW
        self._recordings = RecentRecordings(self._open, OPEN_RECORDINGS)

    def __len__(self) -> int:
        return len(self._labels)

    def load(self, index: int) -> Frame:
        """Read frame ``index``; see :class:`DetectionDataset`."""
        return self.load_at_speed(index, 1.0)

    def load_at_speed(self, index: int, speed: float) -> Frame:
        """Read frame ``index`` with its recording played ``speed`` times as fast."""
        files = self.recordings[self._labels.recordings[index]]
        time_us = int(self._labels.times_us[index])
        recording = self._recordings[files.events_path]
        events = self.frame_spec.frame(recording, time_us, self.sensor_hw, speed)
        return Frame(events, torch.tensor(self._labels.boxes_of(index)), time_us, files.name)

    def _open(self, path: Path) -> Recording:
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


def _all_boxes(recordings: Iterable[LabelledRecording], num_classes: int) -> Iterator[np.ndarray]:
    for recording in recordings:
        boxes = read_boxes(recording.boxes_path)
        unknown = boxes["class_id"][(boxes["class_id"] < 0) | (boxes["class_id"] >= num_classes)]
        if len(unknown):
            raise DataError(
                f"The class ids in {recording.boxes_path} must be 0 to {num_classes - 1} (`num_classes` is "
                f"{num_classes}), but {len(unknown)} of {len(boxes)} boxes have others, like {unknown[0]}. "
                "Set `num_classes` to the number of classes in the dataset, or remove these boxes."
            )
        yield boxes


def _size(hw: tuple[int, int]) -> str:
    return f"{hw[0]}x{hw[1]}"
