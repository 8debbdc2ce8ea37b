"""Datasets by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, Unpack

from easnn.data.dataset import DetectionDataset
from easnn.data.gen1 import GEN1, Gen1Dataset
from easnn.data.gen4 import GEN4, Gen4Dataset
from easnn.data.n_caltech import N_CALTECH_CLASSES, NCaltechDataset, NCaltechSource
from easnn.data.options import DatasetOptions
from easnn.data.raw import RawSource
from easnn.data.source import RecordingSource
from easnn.ops import Interpolation
from easnn.utils.errors import ConfigError


class DatasetBuilder(Protocol):
    """Makes a dataset from some of its splits."""

    def __call__(
        self, root: Path | str, splits: str | Sequence[str], **options: Unpack[DatasetOptions]
    ) -> DetectionDataset:
        """Return the dataset; see :func:`build_dataset`."""
        ...


class SourceBuilder(Protocol):
    """Finds the recordings of some splits."""

    def __call__(self, root: Path | str, splits: str | Sequence[str]) -> RecordingSource:
        """Return the recordings; see :func:`build_source`."""
        ...


@dataclass(frozen=True)
class DatasetKind:
    """What a value of the key ``data_name`` stands for.

    Attributes:
        build: makes the dataset.
        source: finds its recordings.
        class_names: name of each class id, in order, unless the folder's ``dataset.json`` has others.
        interpolation: how its frames are resized to the network's input.
        jitter: how far the aspect ratio of its training samples changes, unless said otherwise.
    """

    build: DatasetBuilder
    source: SourceBuilder
    class_names: tuple[str, ...]
    interpolation: Interpolation = "linear"
    jitter: float = 0.3


DATASETS: Mapping[str, DatasetKind] = MappingProxyType(
    {
        "n-caltech": DatasetKind(
            NCaltechDataset, NCaltechSource, N_CALTECH_CLASSES, interpolation="cubic", jitter=0.1
        ),
        "gen1": DatasetKind(Gen1Dataset, partial(RawSource, kind=GEN1), GEN1.class_names),
        "gen4": DatasetKind(Gen4Dataset, partial(RawSource, kind=GEN4), GEN4.class_names),
        "synthetic": DatasetKind(
            partial(Gen1Dataset, name="synthetic"), partial(RawSource, kind=GEN1), GEN1.class_names
        ),
    }
)
"""The values of the key ``data_name``."""


def build_dataset(
    data_name: str, root: Path | str, splits: str | Sequence[str], **options: Unpack[DatasetOptions]
) -> DetectionDataset:
    """Make the dataset called ``data_name``.

    Args:
        data_name: a name from :data:`DATASETS`.
        root: folder of the dataset.
        splits: name of a split, or several that are put together.
        **options: see :class:`DatasetOptions`.

    Raises:
        ConfigError: if there is no such dataset, or it cannot be read this way.
        DataError: if the files of the dataset are wrong.
    """
    return _kind(data_name).build(root, splits, **options)


def build_source(data_name: str, root: Path | str, splits: str | Sequence[str]) -> RecordingSource:
    """Find the recordings of the dataset called ``data_name``; the arguments are as for a dataset.

    Raises:
        ConfigError: if there is no such dataset.
        DataError: if recordings are missing.
    """
    return _kind(data_name).source(root, splits)


def _kind(data_name: str) -> DatasetKind:
    if data_name not in DATASETS:
        raise ConfigError(f"`data_name` must be one of {', '.join(DATASETS)}, but is {data_name}.")
    return DATASETS[data_name]
