"""The raw layout of Prophesee's datasets, ``<root>/<split>/NAME_td.dat`` with boxes ``NAME_bbox.npy``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, Unpack

import numpy as np

from easnn.data.automotive import GEN1, AutomotiveKind
from easnn.data.class_ids import check_class_ids
from easnn.data.info import FILE_NAME, DatasetInfo, read_dataset_info
from easnn.data.layout import LabelledRecording, find_recordings
from easnn.data.options import DatasetOptions
from easnn.data.recording_dataset import RecordingDataset
from easnn.data.recordings import open_first
from easnn.data.source import RecordingSource
from easnn.events import DatRecording, Recording, open_dat, read_boxes
from easnn.utils.errors import DataError

Opened = TypeVar("Opened", bound=Recording, covariant=True)


class RawSource(RecordingSource):
    """The recordings of some splits in the raw layout.

    ``<root>/dataset.json`` may give the classes and the sensor. Without it, the sensor is that of the first
    recording that can be opened.

    Args:
        root: folder of the dataset.
        splits: name of a folder in it, or several.
        kind: what neither file says.

    Raises:
        DataError: if the layout is incomplete, or ``dataset.json`` or every recording cannot be read.
    """

    def __init__(self, root: Path | str, splits: str | Sequence[str], kind: AutomotiveKind) -> None:
        self.root = Path(root)
        info = read_dataset_info(self.root)
        splits = (splits,) if isinstance(splits, str) else splits
        self.recordings = find_recordings(self.root, splits, ignored=kind.ignored)
        self.class_names = info.class_names or kind.class_names
        self.class_advice = f' Other classes are declared as "class_names" in {self.root / FILE_NAME}.'
        self._dropped = () if info.class_names else kind.dropped_classes
        self.sensor_hw = sensor_of(info, self.recordings, open_dat, kind)

    def open(self, path: Path) -> DatRecording:
        """Open a recording; one that does not say its sensor is checked against the dataset's."""
        return open_with_sensor(path, self.sensor_hw, open_dat)

    def boxes(self, files: LabelledRecording) -> np.ndarray:
        """Read the boxes of a recording without those of dropped classes."""
        boxes = read_boxes(files.boxes_path)
        check_class_ids(boxes, (*self.class_names, *self._dropped), files.boxes_path, self.root)
        return boxes[boxes["class_id"] < len(self.class_names)]


class RawDataset(RecordingDataset):
    """Labelled frames of recordings ``<root>/<split>/NAME_td.dat`` with boxes ``NAME_bbox.npy``.

    ``<root>/dataset.json`` may give the classes and the sensor. Without it the classes are those of ``kind``,
    and the sensor is that in the header of the first recording that can be opened, or else that of ``kind``.
    A time at which only dropped classes are labelled is no labelled frame.

    Args:
        root: folder of the dataset.
        splits: name of a folder in it, or several.
        kind: which dataset it is, or is like.
        name: value of the key ``data_name``; that of ``kind`` unless said otherwise.
        **options: see :class:`~easnn.data.options.DatasetOptions`.

    Raises:
        ConfigError: if ``num_classes`` is not the dataset's number of classes, or a frame is impossible.
        DataError: if the layout is incomplete, a box file cannot be read or has an unknown class, or nothing
            is labelled.
    """

    def __init__(
        self,
        root: Path | str,
        splits: str | Sequence[str],
        *,
        kind: AutomotiveKind = GEN1,
        name: str | None = None,
        **options: Unpack[DatasetOptions],
    ) -> None:
        super().__init__(name or kind.name, RawSource(root, splits, kind), splits, **options)


def sensor_of(
    info: DatasetInfo,
    recordings: Sequence[LabelledRecording],
    opener: Callable[[Path], Recording],
    kind: AutomotiveKind,
) -> tuple[int, int]:
    """Return height and width of a dataset's sensor, from a recording of it unless it says them.

    Args:
        info: what the dataset says.
        recordings: at least one; the first that can be opened tells.
        opener: opens a recording.
        kind: what neither says.

    Raises:
        DataError: if no recording can be opened.
    """
    if info.sensor_hw is not None:
        return info.sensor_hw
    return open_first(opener, (files.events_path for files in recordings)).sensor_hw or kind.sensor_hw


class Opener(Protocol[Opened]):
    """Opens a recording, with the size of its sensor if the file does not say it."""

    def __call__(self, path: Path, *, sensor_hw: tuple[int, int] | None = None) -> Opened:
        """Return the recording."""
        ...


def open_with_sensor(path: Path, sensor_hw: tuple[int, int], opener: Opener[Opened]) -> Opened:
    """Open a recording of a dataset; the sensor is ``sensor_hw`` if the file does not say it.

    Raises:
        DataError: if it cannot be opened or has another sensor.
    """
    recording = opener(path)
    if recording.sensor_hw is None:
        return opener(path, sensor_hw=sensor_hw)
    if recording.sensor_hw != sensor_hw:
        raise DataError(
            f"{path} must have the sensor size of its dataset, {_size(sensor_hw)} (height x width), "
            f"but its header says {_size(recording.sensor_hw)}. Put other sensors in another folder."
        )
    return recording


def _size(hw: tuple[int, int]) -> str:
    return f"{hw[0]}x{hw[1]}"
