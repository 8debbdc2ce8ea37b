"""Loading weights into a model, with a report of the names that fit and those that do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from tabulate import tabulate
from torch import Tensor, nn

from easnn.utils.errors import CheckpointError
from easnn.utils.state_dicts import unwrapped

SHOWN = 8
"""Maximum number of names that a message lists of each kind."""


@dataclass(frozen=True)
class LoadReport:
    """The result of loading the weights of a checkpoint.

    Attributes:
        loaded: names of the weights that were loaded.
        other_shape: names with another shape, with the shapes in the checkpoint and in the model.
        missing: names that only the model has; they keep their values.
        unexpected: names that only the checkpoint has.
    """

    loaded: tuple[str, ...]
    other_shape: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether the names and shapes of checkpoint and model are the same."""
        return not (self.other_shape or self.missing or self.unexpected)

    def table(self) -> str:
        """Return the report as a table, with the first few names of each kind."""
        return tabulate(
            [
                ["loaded", len(self.loaded), ""],
                *([what, len(names), _some(names)] for what, names in self._differences()),
            ],
            headers=["weights", "number", "first of them"],
        )

    def differences(self) -> str:
        """Return the names that do not fit as one line."""
        return "; ".join(
            f"{len(names)} {what}: {_some(names)}" for what, names in self._differences()
        )

    def _differences(self) -> list[tuple[str, list[str]]]:
        shapes = [
            f"{name} {list(found)}, not {list(expected)}"
            for name, found, expected in self.other_shape
        ]
        kinds = [
            ("of another shape", shapes),
            ("missing in the checkpoint", list(self.missing)),
            ("unknown to the model", list(self.unexpected)),
        ]
        return [(what, names) for what, names in kinds if names]


def load_weights(
    model: nn.Module, weights: Mapping[str, Tensor], *, strict: bool, source: str
) -> LoadReport:
    """Copy ``weights`` into ``model`` where name and shape agree.

    Args:
        model: the model; its other weights are unchanged.
        weights: a state dict, such as ``model`` of a checkpoint. Names may contain the parts that
            wrappers of a network add, ``module.`` and ``_orig_mod.``.
        strict: whether every name and shape must match; on an error the model is unchanged.
        source: origin of the weights, for messages.

    Raises:
        CheckpointError: if ``strict`` and something does not fit, or if nothing fits at all.
    """
    own = model.state_dict()
    weights = _unwrapped(weights, own)
    report = _compare(weights, own)
    if strict and not report.complete:
        raise CheckpointError(
            f"The weights of {source} belong to another model: {report.differences()}. Give the "
            "same keys as for its training, or leave out all keys to use those in the checkpoint."
        )
    if not report.loaded:
        raise CheckpointError(f"No weight of {source} fits this model: {report.differences()}.")
    with torch.no_grad():
        for name in report.loaded:
            own[name].copy_(weights[name])
    return report


def _unwrapped(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under the model's names, where these differ by parts of wrappers only.

    A model may have such a part in its own names, and a file none: so both are compared without.
    """
    names = {unwrapped(name): name for name in own if name not in weights}
    return {
        name if name in own else names.get(unwrapped(name), name): weight
        for name, weight in weights.items()
    }


def _compare(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> LoadReport:
    common = [name for name in own if name in weights]
    return LoadReport(
        loaded=tuple(name for name in common if weights[name].shape == own[name].shape),
        other_shape=tuple(
            (name, tuple(weights[name].shape), tuple(own[name].shape))
            for name in common
            if weights[name].shape != own[name].shape
        ),
        missing=tuple(name for name in own if name not in weights),
        unexpected=tuple(name for name in weights if name not in own),
    )


def _some(names: list[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
