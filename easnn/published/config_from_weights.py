"""From the names and shapes of published weights to the settings of their network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from easnn.models import DetectorConfig, SpikeMode
from easnn.models.config import EmbeddingKind, StemKind
from easnn.utils.errors import CheckpointError

STEMS: dict[str, tuple[StemKind, int]] = {
    "backbone.backbone.stem.conv.weight": ("conv", 1),
    "backbone.backbone.stem.conv.0.weight": ("conv", 1),
    "backbone.backbone.stem.conv.conv.weight": ("focus", 4),
    "backbone.backbone.stem.0.conv.conv.weight": ("focus", 4),
}
"""Stems by the name of their weight, and how many input channels they have per frame channel."""

CLASS_OUTPUTS = ("head.cls_preds.0.weight", "head.cls_preds.0.0.weight")

DEPTHS = {1: 0.33, 2: 0.67, 3: 1.0}
"""Usual multipliers by number of blocks."""

BRANCHES: dict[EmbeddingKind, str] = {
    "arsnn": "embedding.input_conv.",
    "rsnn": "embedding.input_conv.layer.",
    "snn": "embedding.embedding_conv.layer.",
}
"""Prefix of the convolutions of an embedding; their numbers are 0, 2, 4, …"""


def config_from_weights(weights: Mapping[str, Tensor]) -> DetectorConfig:
    """Return a configuration whose network has weights of these names and shapes.

    Settings that do not follow from the weights have their defaults: time steps, thresholds,
    readout, fixed surrogates, activations. Where several multipliers give the same network, the
    usual one is chosen.

    Args:
        weights: with published names.

    Raises:
        CheckpointError: if parts of the network are missing or have an unknown form.
        ConfigError: if no network has such weights.
    """
    stem_name, stem_kernel = _first_kernel(weights, STEMS, "stem (backbone.backbone.stem.…)")
    _, class_kernel = _first_kernel(weights, CLASS_OUTPUTS, "class output (head.cls_preds.0.…)")
    stem, pixels = STEMS[stem_name]
    base_channels, stem_channels = stem_kernel.shape[:2]
    blocks = _count(r"backbone\.backbone\.dark2\.1\.m\.(\d+)\.", weights)
    implied: dict[str, Any] = {"in_channels": stem_channels // pixels}
    if any(".surrogate_function." in name for name in weights):
        implied["spike_fn"] = "patan"
    if "embedding.norm.weight" in weights:
        implied["norm"] = "bn"
    return DetectorConfig(
        num_classes=len(class_kernel),
        depth=DEPTHS.get(blocks, blocks / 3),
        width=base_channels / 64,
        stem=stem,
        depthwise=any(".dconv." in name for name in weights),
        use_spike=_spike_mode(weights),
        **implied | _embedding(weights),
    )


def _spike_mode(weights: Mapping[str, Tensor]) -> SpikeMode:
    """Return which parts have neurons; each neuron layer has a learned leak ``act.w``."""
    neurons = [name for name in weights if name.endswith(".act.w")]
    if any(name.startswith("head.") for name in neurons):
        return SpikeMode.FULL_V2
    if any(not name.startswith("backbone.backbone.") for name in neurons):
        return SpikeMode.FULL
    return SpikeMode.BACKBONE if neurons else SpikeMode.NONE


def _embedding(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the settings that follow from the convolutions of the embedding, if it has any."""
    for kind, prefix in BRANCHES.items():
        if f"{prefix}0.weight" in weights:
            _, kernel = _first_kernel(weights, [f"{prefix}0.weight"], "embedding")
            return {
                "embedding": kind,
                "embedding_depth": _count(rf"{re.escape(prefix)}(\d+)\.weight$", weights),
                "embedding_ksize": kernel.shape[-1],
                "in_channels": kernel.shape[1],
            }
    return {}


def _first_kernel(
    weights: Mapping[str, Tensor], names: Iterable[str], part: str
) -> tuple[str, Tensor]:
    """Return the first of ``names`` that exists, and its weight."""
    name = next((name for name in names if name in weights), None)
    if name is None:
        raise CheckpointError(
            f"it has no {part}; its first names are {', '.join(list(weights)[:3])}"
        )
    if weights[name].dim() != 4:
        raise CheckpointError(f"{name} is {list(weights[name].shape)}, which is no kernel")
    return name, weights[name]


def _count(pattern: str, names: Iterable[str]) -> int:
    """Return how many different numbers ``pattern`` finds at the start of the names."""
    return len({match[1] for match in map(re.compile(pattern).match, names) if match})
