"""Datasets by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, Unpack

from easnn.data.automotive import GEN1, GEN4, AutomotiveKind
from easnn.data.dataset import DetectionDataset
from easnn.data.n_caltech import N_CALTECH_CLASSES, NCaltechDataset, NCaltechSource
from easnn.data.options import DatasetOptions
from easnn.data.raw import RawDataset, RawSource
from easnn.data.rvt import RvtDataset, RvtSource, is_preprocessed
from easnn.data.source import LabelSource
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

    def __call__(self, root: Path | str, splits: str | Sequence[str]) -> LabelSource:
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


def _automotive_dataset(
    root: Path | str,
    splits: str | Sequence[str],
    kind: AutomotiveKind,
    **options: Unpack[DatasetOptions],
) -> DetectionDataset:
    """Make a dataset of raw recordings or of preprocessed sequences, whichever is there."""
    dataset = RvtDataset if is_preprocessed(root) else RawDataset
    return dataset(root, splits, kind=kind, **options)


def _automotive_source(root: Path | str, splits: str | Sequence[str], kind: AutomotiveKind) -> LabelSource:
    """Find raw recordings or preprocessed sequences, whichever is there."""
    source = RvtSource if is_preprocessed(root) else RawSource
    return source(root, splits, kind)


DATASETS: Mapping[str, DatasetKind] = MappingProxyType(
    {
        "n-caltech": DatasetKind(
            NCaltechDataset, NCaltechSource, N_CALTECH_CLASSES, interpolation="cubic", jitter=0.1
        ),
        **{
            kind.name: DatasetKind(
                partial(_automotive_dataset, kind=kind),
                partial(_automotive_source, kind=kind),
                kind.class_names,
            )
            for kind in (GEN1, GEN4)
        },
        "synthetic": DatasetKind(
            partial(RawDataset, name="synthetic"), partial(RawSource, kind=GEN1), GEN1.class_names
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


def build_source(data_name: str, root: Path | str, splits: str | Sequence[str]) -> LabelSource:
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
