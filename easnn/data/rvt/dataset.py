"""Labelled frames of a preprocessed dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np
import torch

from easnn.data.automotive import GEN4, AutomotiveKind
from easnn.data.dataset import DetectionDataset, Frame
from easnn.data.labels import index_labels
from easnn.data.options import DatasetOptions
from easnn.data.recording_dataset import OPEN_RECORDINGS, check_classes, clipped
from easnn.data.recordings import RecentRecordings
from easnn.data.rvt.source import RvtSource
from easnn.representations import event_sum
from easnn.utils.errors import ConfigError, DataError


class RvtDataset(DetectionDataset):
    """One frame for each labelled time of a sequence: the last ``Tl`` histograms, summed over their bins.

    Frames are ``[Tl,1,2,H,W]``, zero where the sequence had not begun; H and W are those of the histograms,
    and boxes follow. Constructing reads all boxes; histograms are read when one of their frames is loaded.

    Attributes:
        recordings: the sequences, in the order of their frames.

    Args:
        root: folder of the dataset.
        splits: name of a folder in it, or several.
        kind: which dataset it is.
        **options: see :class:`~easnn.data.options.DatasetOptions`; ``aggregation`` is ``event_sum``. What
            belongs to windows of events (``window_ms``, ``Tm``, ``slicing``, ``tau_us``) does not matter.

    Raises:
        ConfigError: if ``num_classes`` is not the dataset's number of classes, or the frames would have to be
            made from events.
        DataError: if files are missing, labels cannot be read, or nothing is labelled.
    """

    def __init__(
        self,
        root: Path | str,
        splits: str | Sequence[str],
        *,
        kind: AutomotiveKind = GEN4,
        **options: Unpack[DatasetOptions],
    ) -> None:
        self.name = kind.name
        self.split = splits if isinstance(splits, str) else "+".join(splits)
        self._slices = options["Tl"]
        _check_options(Path(root), options)
        source = RvtSource(root, splits, kind)
        check_classes(source, options["num_classes"])
        self.class_names = source.class_names
        self.sensor_hw = source.sensor_hw
        self.recordings = source.recordings
        self._labels = index_labels(
            clipped(source.checked_boxes(f), source.sensor_hw) for f in self.recordings
        )
        if len(self._labels) == 0:
            raise DataError(f"{source.root} has no label in {self.split}: all its label files are empty.")
        self._histogram_numbers = np.concatenate([source.histogram_numbers(f) for f in self.recordings])
        self._recordings = RecentRecordings(source.open, OPEN_RECORDINGS)

    def __len__(self) -> int:
        return len(self._labels)

    def load(self, index: int) -> Frame:
        """Read frame ``index``; see :class:`DetectionDataset`."""
        files = self.recordings[self._labels.recordings[index]]
        recording = self._recordings[files.events_path]
        histograms = recording.last(int(self._histogram_numbers[index]), self._slices)
        return Frame(
            events=torch.from_numpy(event_sum(histograms))[:, None],
            boxes=torch.tensor(self._labels.boxes_of(index)),
            time_us=int(self._labels.times_us[index]),
            sequence=files.name,
        )


def _check_options(root: Path, options: DatasetOptions) -> None:
    aggregation, factor = options["aggregation"], options.get("downsample", 1)
    if aggregation != "event_sum":
        raise ConfigError(
            f"`aggregation` must be event_sum for {root}, which was preprocessed for RVT, but is "
            f"{aggregation}, which is made from events. Set `aggregation` event_sum, or give the raw "
            "recordings."
        )
    if factor != 1:
        raise ConfigError(
            f"`downsample` must be 1 for {root}, whose histograms have the resolution that they were made "
            f"with, but is {factor}."
        )
