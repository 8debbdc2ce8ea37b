"""The 1 megapixel automotive detection dataset (1Mpx, Gen4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from easnn.data.options import DatasetOptions
from easnn.data.raw import RawKind, RawSource
from easnn.data.recording_dataset import RecordingDataset

GEN4_CLASSES = ("pedestrian", "two-wheeler", "car")
GEN4_DROPPED_CLASSES = ("truck", "bus", "traffic sign", "traffic light")
"""Labelled, but left out of all published work."""
GEN4_SENSOR_HW = (720, 1280)

GEN4 = RawKind(GEN4_CLASSES, GEN4_SENSOR_HW, dropped_classes=GEN4_DROPPED_CLASSES)


class Gen4Dataset(RecordingDataset):
    """Labelled frames of raw 1Mpx recordings, laid out like :class:`~easnn.data.gen1.Gen1Dataset`.

    Three of the seven classes are kept. A time at which only others are labelled is no labelled frame.

    Args:
        root: folder of the dataset.
        splits: name of a folder in it, or several.
        name: value of the key ``data_name``.
        **options: see :class:`~easnn.data.options.DatasetOptions`; ``downsample`` 2 gives 640×360 pixels.

    Raises:
        ConfigError: if ``num_classes`` is not the dataset's number of classes, or a frame is impossible.
        DataError: if the layout is incomplete or preprocessed for RVT, a box file cannot be read or has an
            unknown class, or nothing is labelled.
    """

    def __init__(
        self,
        root: Path | str,
        splits: str | Sequence[str],
        *,
        name: str = "gen4",
        **options: Unpack[DatasetOptions],
    ) -> None:
        super().__init__(name, RawSource(root, splits, GEN4), splits, **options)
