"""The Gen1 automotive detection dataset, and everything else in its layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from easnn.data.options import DatasetOptions
from easnn.data.raw import RawKind, RawSource
from easnn.data.recording_dataset import RecordingDataset

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

GEN1 = RawKind(GEN1_CLASSES, GEN1_SENSOR_HW, ignored=IGNORED_SEQUENCES)


class Gen1Dataset(RecordingDataset):
    """Labelled frames of recordings ``<root>/<split>/NAME_td.dat`` with boxes ``NAME_bbox.npy``.

    ``<root>/dataset.json`` may give the classes and the sensor. Without it the classes are those of Gen1, and
    the sensor is that of the first recording's header, or else Gen1's.

    Args:
        root: folder of the dataset.
        splits: name of a folder in it, or several.
        name: value of the key ``data_name``.
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
        name: str = "gen1",
        **options: Unpack[DatasetOptions],
    ) -> None:
        super().__init__(name, RawSource(root, splits, GEN1), splits, **options)
