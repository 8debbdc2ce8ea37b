"""Prophesee's layout of a dataset, ``<root>/<split>/NAME_td.dat`` with boxes ``NAME_bbox.npy``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from easnn.data.automotive import AutomotiveKind
from easnn.data.dataset_json import FILE_NAME, DatasetInfo, read_dataset_info
from easnn.data.label_source import RecordingFiles, reject_recordings, reject_shared
from easnn.data.recording_dataset import RecordingSource
from easnn.data.recording_pool import open_first
from easnn.events import DatRecording, Recording, open_dat, read_boxes
from easnn.utils.errors import DataError
from easnn.utils.files import is_apple_double
from easnn.utils.options import BOXES_SUFFIX, EVENTS_SUFFIX

Opened = TypeVar("Opened", bound=Recording, covariant=True)

ANY_EVENTS_SUFFIX = (
    EVENTS_SUFFIX,
    *(f"_td.{ending}" for ending in ("raw", "dat.h5", "h5", "hdf5", "aedat4", "npz")),
)
"""Of events in any format; only preprocessing reads these."""


class PropheseeSource(RecordingSource):
    """Recordings in Prophesee's layout.

    ``<root>/dataset.json`` may declare the classes and the sensor. Without it, the classes are
    those of ``kind``, and the sensor is that in the header of the first recording that can be
    opened, or else that of ``kind``. A time at which only dropped classes are labelled is not a
    labelled frame.

    Args:
        root: folder of the dataset.
        splits: name of a folder in it, or several.
        kind: the classes and the sensor, where the files do not tell them.

    Raises:
        DataError: if files are missing, or ``dataset.json`` or every recording cannot be read.
    """

    def __init__(self, root: Path | str, splits: str | Sequence[str], kind: AutomotiveKind) -> None:
        super().__init__(root, splits)
        self.name = kind.name
        info = read_dataset_info(self.root)
        self.recordings = find_recordings(self.root, self.splits, ignored=kind.ignored)
        self.class_names = info.class_names or kind.class_names
        self.dropped_classes = () if info.class_names else kind.dropped_classes
        self.class_file = self.root / FILE_NAME
        self.sensor_hw = sensor_of(info, self.recordings, open_dat, kind)

    def open(self, path: Path) -> DatRecording:
        """Open a recording; a sensor size in its header must be that of the dataset."""
        opener = partial(open_dat, drop_invalid=self.drop_invalid)
        return open_with_sensor(path, self.sensor_hw, opener)

    def boxes(self, files: RecordingFiles) -> np.ndarray:
        """Read the boxes of a recording."""
        return read_boxes(files.boxes_path)


def find_recordings(
    root: Path, splits: Sequence[str], *, ignored: Collection[str] = (), any_format: bool = False
) -> list[RecordingFiles]:
    """List the recordings of some splits, in the order of the splits and then of the names.

    Args:
        root: folder of the dataset.
        splits: names of folders in it.
        ignored: names of recordings to skip.
        any_format: whether the events may be in another format than DAT.

    Raises:
        DataError: if a folder is missing or empty, events have no boxes or the reverse, or two
            splits share a recording.
    """
    suffixes = ANY_EVENTS_SUFFIX if any_format else (EVENTS_SUFFIX,)
    recordings = [
        recording
        for split in splits
        for recording in _recordings_of_split(root, split, ignored, suffixes)
    ]
    reject_shared(root, splits, recordings)
    return recordings


def sensor_of(
    info: DatasetInfo,
    recordings: Sequence[RecordingFiles],
    opener: Callable[[Path], Recording],
    kind: AutomotiveKind,
) -> tuple[int, int]:
    """Return height and width of the sensor of a dataset.

    They come from ``dataset.json``, else from the first recording that can be opened, else from
    ``kind``.

    Args:
        info: contents of ``dataset.json``.
        recordings: at least one.
        opener: opens a recording.
        kind: which dataset it is.

    Raises:
        DataError: if no recording can be opened.
    """
    if info.sensor_hw is not None:
        return info.sensor_hw
    return (
        open_first(opener, (files.events_path for files in recordings)).sensor_hw or kind.sensor_hw
    )


class Opener(Protocol[Opened]):
    """Opens a recording, with the size of its sensor if the file does not specify it."""

    def __call__(self, path: Path, *, sensor_hw: tuple[int, int] | None = None) -> Opened:
        """Return the recording."""
        ...


def open_with_sensor(path: Path, sensor_hw: tuple[int, int], opener: Opener[Opened]) -> Opened:
    """Open a recording of a dataset; its sensor is ``sensor_hw`` if the file does not specify it.

    Raises:
        DataError: if it cannot be opened or has another sensor.
    """
    recording = opener(path)
    if recording.sensor_hw is None:
        return opener(path, sensor_hw=sensor_hw)
    if recording.sensor_hw != sensor_hw:
        raise DataError(
            f"{path} must have the sensor size of its dataset, {_size(sensor_hw)} (height x "
            f"width), but its header says {_size(recording.sensor_hw)}. Put other sensors in "
            "another folder."
        )
    return recording


def _size(hw: tuple[int, int]) -> str:
    return f"{hw[0]}x{hw[1]}"


def _recordings_of_split(
    root: Path, split: str, ignored: Collection[str], events_suffixes: tuple[str, ...]
) -> list[RecordingFiles]:
    folder = root / split
    missing = next((path for path in (root, folder) if not path.is_dir()), None)
    if missing is not None:
        raise DataError(f"{missing} is not a folder. {_expected_layout(root)}")
    files = [path.name for path in folder.iterdir() if not is_apple_double(path.name)]
    events = [
        (name.removesuffix(suffix), name)
        for suffix in events_suffixes
        for name in files
        if name.endswith(suffix)
    ]
    reject_recordings(
        folder,
        sorted(name for name, uses in Counter(name for name, _ in events).items() if uses > 1),
        "with more than one file of events",
        f"Keep one beside its NAME{BOXES_SUFFIX}.",
    )
    with_events = {name: file for name, file in events if name not in ignored}
    with_boxes = {name.removesuffix(BOXES_SUFFIX) for name in files if name.endswith(BOXES_SUFFIX)}
    with_boxes -= set(ignored)
    if not with_events and not with_boxes:
        raise DataError(f"{folder} holds no recording. {_expected_layout(root)}")
    reject_recordings(
        folder,
        sorted(with_events.keys() - with_boxes),
        "without boxes",
        f"Put NAME{BOXES_SUFFIX} beside each NAME{EVENTS_SUFFIX} (with no rows if nothing was "
        "labelled).",
    )
    reject_recordings(
        folder,
        sorted(with_boxes - with_events.keys()),
        "with boxes, but no events",
        f"Put NAME{EVENTS_SUFFIX} beside each NAME{BOXES_SUFFIX}, or remove the boxes.",
    )
    return [
        RecordingFiles(name, folder / with_events[name], folder / f"{name}{BOXES_SUFFIX}")
        for name in sorted(with_events)
    ]


def _expected_layout(root: Path) -> str:
    return (
        f"Expected are the recordings of each split in {root}/{{train,val,test}}/: their events, "
        f"NAME{EVENTS_SUFFIX}, with their boxes, NAME{BOXES_SUFFIX}, next to them. "
        "`easnn make-synthetic DIR` makes a small synthetic dataset."
    )
