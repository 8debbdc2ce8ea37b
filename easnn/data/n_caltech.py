"""N-Caltech101: pictures of Caltech101 before a moving camera, a box in each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np

from easnn.data.layout import LabelledRecording, reject_shared
from easnn.data.n_caltech_lists import class_of, find_listed
from easnn.data.options import DatasetOptions
from easnn.data.recording_dataset import RecordingDataset
from easnn.data.source import RecordingSource
from easnn.events import BOX_DTYPE, LoadedRecording, open_n_mnist, read_contours
from easnn.utils.errors import DataError

N_CALTECH_CLASSES: tuple[str, ...] = tuple(
    json.loads(Path(__file__).with_name("n_caltech_classes.json").read_text())
)
"""In the order of the published checkpoints, which is that of no alphabet."""
N_CALTECH_SENSOR_HW = (180, 240)
N_CALTECH_TAU_US = 10_000
"""For saccades that last about 100 ms."""


class NCaltechSource(RecordingSource):
    """The recordings of some splits of N-Caltech101.

    Args:
        root: folder of the dataset.
        splits: name of a split, or several; see :func:`~easnn.data.n_caltech_lists.find_listed`.

    Raises:
        DataError: if folders, lists or files are missing, two splits share a recording, or a class is
            unknown.
    """

    class_names = N_CALTECH_CLASSES
    sensor_hw = N_CALTECH_SENSOR_HW
    clip_boxes = True
    timeless = True

    def __init__(self, root: Path | str, splits: str | Sequence[str]) -> None:
        self.root = Path(root)
        splits = (splits,) if isinstance(splits, str) else splits
        self.recordings = [files for split in splits for files in find_listed(self.root, split)]
        reject_shared(self.root, splits, self.recordings)
        self._class_ids = {name: number for number, name in enumerate(N_CALTECH_CLASSES)}
        unknown = sorted({class_of(files) for files in self.recordings} - self._class_ids.keys())
        if unknown:
            raise DataError(
                f"The classes of {self.root} must be the {len(N_CALTECH_CLASSES)} of N-Caltech101, but "
                f"{unknown[0]} is none of them. Remove its folder and its lines in the lists."
            )

    def open(self, path: Path) -> LoadedRecording:
        """Open a recording."""
        return open_n_mnist(path, sensor_hw=self.sensor_hw)

    def boxes(self, files: LabelledRecording) -> np.ndarray:
        """Read the one box of a recording, at time 0: the smallest around the contour of the box."""
        contour = read_contours(files.boxes_path).box.astype(np.float32)
        (left, top), (right, bottom) = contour.min(axis=0), contour.max(axis=0)
        height, width = self.sensor_hw
        if not (left < width and right > 0 and left < right and top < height and bottom > 0 and top < bottom):
            raise DataError(
                f"The box of {files.boxes_path} must have a width and a height and lie in the frame of "
                f"{width}×{height} pixels, at least in part, but has x {left:g} to {right:g} and y {top:g} "
                f"to {bottom:g}."
            )
        boxes = np.zeros(1, BOX_DTYPE)
        boxes["x"], boxes["y"], boxes["w"], boxes["h"] = left, top, right - left, bottom - top
        boxes["class_id"], boxes["confidence"] = self._class_ids[class_of(files)], 1
        return boxes


class NCaltechDataset(RecordingDataset):
    """One labelled frame for each recording of N-Caltech101: all of its events, and the box clipped to it.

    The boxes say where the object is at the beginning; the picture moves by up to 7 px.

    Args:
        root: folder with ``Caltech101/``, ``Caltech101_annotations/`` and the lists.
        splits: name of a split, or several.
        name: value of the key ``data_name``.
        **options: see :class:`~easnn.data.options.DatasetOptions`; ``window_ms`` is 0.

    Raises:
        ConfigError: if ``num_classes`` is not 100, or a frame is impossible.
        DataError: if files are missing, annotations cannot be read, or a class is unknown.
    """

    def __init__(
        self,
        root: Path | str,
        splits: str | Sequence[str],
        *,
        name: str = "n-caltech",
        **options: Unpack[DatasetOptions],
    ) -> None:
        super().__init__(name, NCaltechSource(root, splits), splits, **options)
