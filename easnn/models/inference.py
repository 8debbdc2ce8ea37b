"""Which network published weights belong to, as far as their names and shapes tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from torch import Tensor

from easnn.models.config import DetectorConfig, EmbeddingConfig, EmbeddingKind, SpikeMode, StemKind
from easnn.utils.errors import CheckpointError

STEMS: dict[str, tuple[StemKind, int]] = {
    "backbone.backbone.stem.conv.weight": ("conv", 1),
    "backbone.backbone.stem.conv.0.weight": ("conv", 1),
    "backbone.backbone.stem.conv.conv.weight": ("focus", 4),
    "backbone.backbone.stem.0.conv.conv.weight": ("focus", 4),
}
"""By the name of their weight: the stems, and how many of a kernel's channels come from one of the frames."""

CLASS_OUTPUTS = ("head.cls_preds.0.weight", "head.cls_preds.0.0.weight")

DEPTHS = {1: 0.33, 2: 0.67, 3: 1.0}
"""By the number of blocks: the usual multipliers."""

BRANCHES: dict[EmbeddingKind, str] = {
    "arsnn": "embedding.input_conv.",
    "rsnn": "embedding.input_conv.layer.",
    "snn": "embedding.embedding_conv.layer.",
}
"""Where the convolutions of an embedding are: number 0, 2, 4, …"""


def infer_config(weights: Mapping[str, Tensor]) -> DetectorConfig:
    """Return a configuration whose network may have these weights.

    What they do not tell has its default: time steps, thresholds, readout, the fixed surrogates, activations.
    Where several multipliers give the same network, it is the usual one.

    Args:
        weights: with published names.

    Raises:
        CheckpointError: if the parts that tell it are missing or strange.
        ConfigError: if there is no such network.
    """
    stem_name, stem_kernel = _first_kernel(weights, STEMS, "stem (backbone.backbone.stem.…)")
    _, class_kernel = _first_kernel(weights, CLASS_OUTPUTS, "class output (head.cls_preds.0.…)")
    stem, pixels = STEMS[stem_name]
    base_channels, stem_channels = stem_kernel.shape[:2]
    blocks = _count(r"backbone\.backbone\.dark2\.1\.m\.(\d+)\.", weights)
    return DetectorConfig(
        num_classes=len(class_kernel),
        depth=DEPTHS.get(blocks, blocks / 3),
        width=base_channels / 64,
        spike_mode=_spike_mode(weights),
        surrogate="patan" if any(".surrogate_function." in name for name in weights) else "atan",
        stem=stem,
        depthwise=any(".dconv." in name for name in weights),
        embedding=_embedding(weights, stem_channels // pixels),
    )


def _spike_mode(weights: Mapping[str, Tensor]) -> SpikeMode:
    """Tell by the neurons, each of which has a leak ``act.w``."""
    neurons = [name for name in weights if name.endswith(".act.w")]
    if any(name.startswith("head.") for name in neurons):
        return SpikeMode.FULL_V2
    if any(not name.startswith("backbone.backbone.") for name in neurons):
        return SpikeMode.FULL
    return SpikeMode.BACKBONE if neurons else SpikeMode.NONE


def _embedding(weights: Mapping[str, Tensor], in_channels: int) -> EmbeddingConfig:
    norm: Literal["bn"] | None = "bn" if "embedding.norm.weight" in weights else None
    for kind, prefix in BRANCHES.items():
        if f"{prefix}0.weight" in weights:
            _, kernel = _first_kernel(weights, [f"{prefix}0.weight"], "embedding")
            depth = _count(rf"{re.escape(prefix)}(\d+)\.weight$", weights)
            return EmbeddingConfig(
                kind=kind, depth=depth, kernel_size=kernel.shape[-1], in_channels=kernel.shape[1], norm=norm
            )
    return EmbeddingConfig(in_channels=in_channels, norm=norm)


def _first_kernel(weights: Mapping[str, Tensor], names: Iterable[str], part: str) -> tuple[str, Tensor]:
    """Return the first of ``names`` that is there, and its weight."""
    name = next((name for name in names if name in weights), None)
    if name is None:
        raise CheckpointError(f"it has no {part}; its first names are {', '.join(list(weights)[:3])}")
    if weights[name].dim() != 4:
        raise CheckpointError(f"{name} is {list(weights[name].shape)}, which is no kernel")
    return name, weights[name]


def _count(pattern: str, names: Iterable[str]) -> int:
    """Return how many different numbers ``pattern`` finds at the start of the names."""
    return len({match[1] for match in map(re.compile(pattern).match, names) if match})
