"""Datasets by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypedDict, Unpack

from easnn.data.dataset import DetectionDataset
from easnn.data.gen1 import Gen1Dataset
from easnn.representations import Measure, Slicing
from easnn.utils.errors import ConfigError


class DatasetOptions(TypedDict):
    """What an experiment says about its frames.

    Attributes:
        window_ms: where the window of events begins, in ms from the label: negative, or 0 for the whole
            recording.
        Tl: macro slices of a frame.
        Tm: micro slices of a window.
        aggregation: name of the representation.
        slicing: how the micro slices are cut.
        measure: what an event adds to its pixel.
        tau_us: time in which an event fades to 1/e, where the representation has it fade.
        num_classes: number of classes that the detector is built for.
    """

    window_ms: int
    Tl: int
    Tm: int
    aggregation: str
    slicing: Slicing
    measure: Measure
    tau_us: int
    num_classes: int


class DatasetBuilder(Protocol):
    """Makes a dataset from some of its splits."""

    def __call__(
        self, root: Path | str, splits: str | Sequence[str], **options: Unpack[DatasetOptions]
    ) -> DetectionDataset:
        """Return the dataset; see :func:`build_dataset`."""
        ...


DATASETS: Mapping[str, DatasetBuilder] = MappingProxyType(
    {"gen1": Gen1Dataset, "synthetic": partial(Gen1Dataset, name="synthetic")}
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
        **options: all of :class:`DatasetOptions`.

    Raises:
        ConfigError: if there is no such dataset, or it cannot be read this way.
        DataError: if the files of the dataset are wrong.
    """
    if data_name not in DATASETS:
        raise ConfigError(
            f"`data_name` must be one of {', '.join(DATASETS)}, the datasets that this version reads, but is "
            f"{data_name}."
        )
    return DATASETS[data_name](root, splits, **options)
