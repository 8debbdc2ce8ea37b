"""Datasets by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, Self, TypeVar, Unpack

from easnn.data.automotive import GEN1, GEN4, AutomotiveKind
from easnn.data.dataset import DetectionDataset
from easnn.data.n_caltech import N_CALTECH_CLASSES, N_CALTECH_TAU_US, NCaltechDataset, NCaltechSource
from easnn.data.options import DatasetOptions
from easnn.data.raw import RawDataset, RawSource
from easnn.data.recording_dataset import RecordingDataset
from easnn.data.rvt import RvtDataset, RvtSource, is_preprocessed
from easnn.data.source import LabelSource, RecordingSource
from easnn.ops import Interpolation
from easnn.representations import TAU_US


class DatasetBuilder(Protocol):
    """Makes a dataset from some of its splits."""

    def __call__(
        self, root: Path | str, splits: str | Sequence[str], **options: Unpack[DatasetOptions]
    ) -> DetectionDataset:
        """Return the dataset.

        Args:
            root: its folder.
            splits: name of a split, or several that are put together.
            **options: see :class:`DatasetOptions`.

        Raises:
            ConfigError: if it cannot be read with these options.
            DataError: if its files are wrong.
        """
        ...


Source = TypeVar("Source", bound=LabelSource, covariant=True)


class SourceBuilder(Protocol[Source]):
    """Finds the recordings of some splits."""

    def __call__(self, root: Path | str, splits: str | Sequence[str]) -> Source:
        """Return the recordings; the arguments are as for a dataset.

        Raises:
            DataError: if recordings are missing.
        """
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
        tau_us: time in which an event fades to 1/e, unless said otherwise.
    """

    build: DatasetBuilder
    source: SourceBuilder[LabelSource]
    class_names: tuple[str, ...]
    interpolation: Interpolation = "linear"
    jitter: float = 0.3
    tau_us: int = TAU_US

    @classmethod
    def of_recordings(
        cls, name: str, source: SourceBuilder[RecordingSource], class_names: tuple[str, ...]
    ) -> Self:
        """Return a kind of dataset that consists of recordings of events.

        Args:
            name: its name.
            source: finds the recordings; a subclass of :class:`~easnn.data.RecordingSource`.
            class_names: name of each class id, in order.
        """
        return cls(partial(_recordings, name, source), source, class_names)


def _recordings(
    name: str,
    source: SourceBuilder[RecordingSource],
    root: Path | str,
    splits: str | Sequence[str],
    **options: Unpack[DatasetOptions],
) -> DetectionDataset:
    return RecordingDataset(name, source(root, splits), splits, **options)


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
            NCaltechDataset,
            NCaltechSource,
            N_CALTECH_CLASSES,
            interpolation="cubic",
            jitter=0.1,
            tau_us=N_CALTECH_TAU_US,
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
