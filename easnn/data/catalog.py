"""Datasets by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from easnn.data.automotive import GEN1, GEN4, GEN4_ALL, SYNTHETIC, AutomotiveKind
from easnn.data.label_filter import GEN1_FILTER, GEN4_FILTER, LabelFilter
from easnn.data.label_source import LabelSource
from easnn.data.n_caltech import N_CALTECH_CLASSES, NCaltechSource
from easnn.data.prophesee_layout import PropheseeSource
from easnn.data.rvt import RvtSource, is_preprocessed
from easnn.ops import Interpolation

SourceBuilder = Callable[[Path | str, str | Sequence[str]], LabelSource]
"""(folder of a dataset, name of a split or several) → its recordings, or a DataError."""


@dataclass(frozen=True)
class DatasetKind:
    """What a value of the key ``data_name`` stands for.

    Attributes:
        source: finds the recordings of some splits; usually a subclass of :class:`LabelSource`.
        class_names: name of each class id, in order, unless the folder's ``dataset.json`` has
            others.
        interpolation: how frames are resized to the network's input.
        jitter: default of the key ``jitter``: how far the aspect ratio of training samples changes.
        tau_ms: default of the key ``tau``: time in ms in which an event decays to 1/e.
        label_filter: what the key ``label_filter`` does to the boxes of training splits, if it may
            be used.
    """

    source: SourceBuilder
    class_names: tuple[str, ...]
    interpolation: Interpolation = "linear"
    jitter: float = 0.3
    tau_ms: float = 50.0
    label_filter: LabelFilter | None = None


def automotive_source(
    root: Path | str, splits: str | Sequence[str], kind: AutomotiveKind
) -> LabelSource:
    """Find recordings of events, or sequences preprocessed for RVT if the folder holds these.

    Args:
        root: folder of the dataset.
        splits: name of a split, or several.
        kind: which dataset it is.

    Raises:
        DataError: if the folder holds neither or both, or files are missing.
    """
    return (
        RvtSource(root, splits, kind)
        if is_preprocessed(root)
        else PropheseeSource(root, splits, kind)
    )


def gen1_source(root: Path | str, splits: str | Sequence[str]) -> LabelSource:
    """Find recordings of Gen1; see :func:`automotive_source`."""
    return automotive_source(root, splits, GEN1)


def gen4_source(root: Path | str, splits: str | Sequence[str]) -> LabelSource:
    """Find recordings of 1Mpx; see :func:`automotive_source`."""
    return automotive_source(root, splits, GEN4)


def gen4_all_source(root: Path | str, splits: str | Sequence[str]) -> LabelSource:
    """Find recordings of 1Mpx with all seven classes; see :func:`automotive_source`."""
    return automotive_source(root, splits, GEN4_ALL)


def synthetic_source(root: Path | str, splits: str | Sequence[str]) -> PropheseeSource:
    """Find synthetic recordings; see :class:`PropheseeSource`."""
    return PropheseeSource(root, splits, SYNTHETIC)


DATASETS: Mapping[str, DatasetKind] = MappingProxyType(
    {
        "n-caltech": DatasetKind(
            NCaltechSource,
            N_CALTECH_CLASSES,
            interpolation="cubic",
            jitter=0.1,
            tau_ms=10.0,  # for saccades of about 100 ms
        ),
        "gen1": DatasetKind(gen1_source, GEN1.class_names, label_filter=GEN1_FILTER),
        "gen4": DatasetKind(gen4_source, GEN4.class_names, label_filter=GEN4_FILTER),
        "gen4-all": DatasetKind(gen4_all_source, GEN4_ALL.class_names, label_filter=GEN4_FILTER),
        "synthetic": DatasetKind(synthetic_source, SYNTHETIC.class_names, label_filter=GEN1_FILTER),
    }
)
"""The values of the key ``data_name``."""
