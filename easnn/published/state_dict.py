"""Converts state dicts between published names and ours."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from easnn.models import DetectorConfig, EventDetector, build_detector, published_names
from easnn.models.published_names import mismatches
from easnn.published.config_from_weights import config_from_weights
from easnn.utils.errors import CheckpointError, ConfigError
from easnn.utils.state_dicts import unwrapped

SHOWN = 3
"""How many mismatches a message lists."""

LEFTOVERS = re.compile(r"(^|\.)(total_ops|total_params)$|\.act\.v$")
"""Counters of a profiler and membranes of the last forward pass, which are no weights."""

SLOPE = re.compile(r"\.act\.surrogate_function\.\w+$")
"""The learned parameter of a surrogate, under any name."""

PUBLISHED_ORDER = (
    *("embedding", "backbone", "head"),
    *("input_conv.layer", "gate_conv", "input_conv", "embedding_conv", "cell", "norm"),
    *("stem", "dark2", "dark3", "dark4", "dark5"),
    *("lateral_conv0", "C3_p4", "reduce_conv1", "C3_p3", "bu_conv2", "C3_n3", "bu_conv1", "C3_n4"),
    *("cls_convs", "reg_convs", "cls_preds", "reg_preds", "obj_preds", "stems"),
    *("dconv", "pconv", "conv1", "conv2", "conv3", "m"),
    *("conv", "bn", "act"),
    *("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
)
"""Parts of names, each before the parts that come after it in published state dicts."""


def from_published(state_dict: Mapping[str, Tensor]) -> tuple[DetectorConfig, dict[str, Tensor]]:
    """Return a configuration that fits published weights, and the weights under our names.

    Names may contain the parts that wrappers of a network add, ``module.`` and ``_orig_mod.``;
    entries that are no weights are left out. Parameters become plain tensors.

    Raises:
        CheckpointError: if they belong to another network, or some are missing. The message is the
            second half of a sentence that begins with the file.
    """
    weights = _cleaned(state_dict)
    try:
        model = _without_weights(config_from_weights(weights))
    except ConfigError as error:
        raise CheckpointError(f"there is no such network: {str(error).rstrip('.')}") from error
    problems = mismatches(model, weights)
    if problems:
        rest = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise CheckpointError(f"{'; '.join(problems[:SHOWN])}{rest}")
    return model.config, {ours: weights[name] for ours, name in published_names(model).items()}


def to_published(config: DetectorConfig, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of the network ``config`` under published names, in published order.

    Raises:
        CheckpointError: if they belong to another network.
    """
    names = published_names(_without_weights(config))
    weights = {unwrapped(name): weight for name, weight in weights.items()}
    if names.keys() != weights.keys():
        other = next(iter(names.keys() ^ weights.keys()))
        raise CheckpointError(
            f"The published code has no network with these weights: {other} is only in one of "
            "them. Weights of a network that an experiment file builds itself cannot be converted."
        )
    return {
        names[ours]: weights[ours] for ours in sorted(names, key=lambda ours: _place(names[ours]))
    }


def _cleaned(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        SLOPE.sub(".act.surrogate_function.alpha", unwrapped(name)): value.detach()
        for name, value in state_dict.items()
        if not LEFTOVERS.search(name)
    }


def _without_weights(config: DetectorConfig) -> EventDetector:
    with torch.device("meta"):
        return build_detector(config)


def _place(name: str) -> list[int]:
    """Return the sort key of a published name; numbers in it are compared as numbers."""
    parts = re.findall(r"input_conv\.layer|[^.]+", name)
    return [
        int(part)
        if part.isdigit()
        else PUBLISHED_ORDER.index(part)
        if part in PUBLISHED_ORDER
        else -1
        for part in parts
    ]
