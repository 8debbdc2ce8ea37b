"""Checkpoint files of the published EAS-SNN code."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from torch import Tensor

from easnn.models import DetectorConfig
from easnn.published.state_dict import from_published, to_published
from easnn.utils.errors import CheckpointError
from easnn.utils.state_dicts import check_finite, is_state_dict
from easnn.utils.tensor_file import write_tensor_file


@dataclass(frozen=True)
class PublishedCheckpoint:
    """The contents of a published file that are used.

    Attributes:
        config: settings that follow from the weights; the others have their defaults.
        weights: the weights to evaluate (a moving average), under our names.
        epochs: number of trained epochs, 0 if the file does not contain it.
        best_ap: the best AP, ``None`` if the file does not contain it.
    """

    config: DetectorConfig
    weights: dict[str, Tensor]
    epochs: int = 0
    best_ap: float | None = None

    @classmethod
    def of(cls, contents: object, path: Path) -> Self:
        """Read the contents of a published file: a dict with ``model``, or a bare state dict.

        Args:
            contents: what :func:`~easnn.utils.tensor_file.read_tensor_file` returned.
            path: the file, for messages.

        Raises:
            CheckpointError: if it is something else, or its weights do not fit a network or are not
                finite.
        """
        entries = contents if isinstance(contents, Mapping) else {}
        state_dict = entries.get("model", entries)
        if not state_dict or not is_state_dict(state_dict):
            raise CheckpointError(
                f"{path} is neither a checkpoint of this framework (it has no `format`) nor one of "
                "the published code (it has no state dict, neither under `model` nor by itself)."
            )
        try:
            config, weights = from_published(state_dict)
        except CheckpointError as error:
            raise CheckpointError(
                f"{path} has no `format`, so it is no checkpoint of this framework, and its "
                f"weights are not those of a published detector: {error}."
            ) from error
        check_finite(weights, str(path))
        epochs, best_ap = _number(entries.get("start_epoch")), _number(entries.get("best_ap"))
        return cls(config, weights, int(epochs or 0), best_ap)

    def save(self, path: Path) -> None:
        """Write the file as the published code does, but without the state of its optimiser.

        Raises:
            OutputError: if it cannot be written.
        """
        state_dict = OrderedDict(to_published(self.config, self.weights))
        contents = {"start_epoch": self.epochs, "model": state_dict, "best_ap": self.best_ap}
        write_tensor_file(path, contents)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float | np.number) else None
