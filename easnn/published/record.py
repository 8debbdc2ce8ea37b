"""The experiment of a published checkpoint: which keys follow from the weights and which do not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tabulate import tabulate

from easnn.data import DATASETS
from easnn.exp import EventExp
from easnn.models import DetectorConfig
from easnn.representations.frame_spec import CHANNELS
from easnn.utils.errors import CheckpointError

RECIPES: Mapping[str, str] = MappingProxyType(
    {
        "gen1": "data_name gen1 Tm 4 T 3 thresh 1 readout sum write_zero True",
        "gen4": "data_name gen4 Tl 4 Tm 4 aggregation event_sum T 3 thresh 1 readout sum "
        "write_zero True",
        "n-caltech": "data_name n-caltech Tm 4 window 0 T 3 thresh 1 readout sum write_zero True",
    }
)
"""By dataset: keys of the published commands that matter for detections, but not for weights."""

LEFT_ALONE = (
    "act",
    "Ts",
    "reset",
    "abs",
    "Tl",
    "window",
    "aggregation",
    "slicing",
    "measure",
    "test_size",
)
"""Further keys that detections depend on; the published commands leave them at their defaults."""

FROM_WEIGHTS = (
    "num_classes",
    "depth",
    "width",
    "stem",
    "depthwise",
    "use_spike",
    "embedding",
    "norm",
)
"""Keys that follow from the weights of every network."""

FROM_CONVOLUTIONS = ("embedding_depth", "embedding_ksize")
"""Keys that follow from the weights of an embedding with convolutions."""


class PublishedRecord:
    """The part of an experiment that follows from the weights of a published checkpoint.

    Args:
        config: settings of its network; those that do not follow from the weights have defaults.
    """

    def __init__(self, config: DetectorConfig) -> None:
        self.config = config

    def experiment(self, source: Path) -> EventExp:
        """Raise an error: the weights alone do not determine the experiment.

        Args:
            source: the checkpoint, for messages.

        Raises:
            CheckpointError: always.
        """
        raise CheckpointError(
            f"{source} was written by the published code and does not carry its experiment. "
            f"Convert it first: easnn convert-checkpoint {source} NEW_FILE key value …"
        )

    def complete(self, experiment: EventExp, source: Path) -> str:
        """Set the keys that follow from the weights, after the user has set the others.

        Args:
            experiment: with the keys that the user gave; ``is_set`` is true for them.
            source: the checkpoint, for messages.

        Returns:
            A table of the keys that the user did not give, with value and source.

        Raises:
            CheckpointError: if a key contradicts the weights, or has to be given.
        """
        implied = self._implied(experiment, source)
        self._check_given(implied, experiment, source)
        self._check_nothing_is_missing(experiment, source)
        rows = []
        for name in (*implied, *LEFT_ALONE):
            if experiment.is_set(name) or not self._matters(name):
                continue
            if name in implied:
                setattr(experiment, name, implied[name])
            key = experiment.declarations()[name]
            origin = "the weights" if name in implied else "its default"
            rows.append((name, key.kind.text(getattr(experiment, name)), origin))
        return tabulate(rows, ("key", "value", "from"), disable_numparse=True)

    def _implied(self, experiment: EventExp, source: Path) -> dict[str, Any]:
        """Return the keys that follow from the weights, with their values.

        Raises:
            CheckpointError: if no representation of events has the channels of the weights.
        """
        config = self.config
        implied = {name: getattr(config, name) for name in FROM_WEIGHTS}
        if config.embedding != "count":
            implied |= {name: getattr(config, name) for name in FROM_CONVOLUTIONS}
        if config.use_spike.backbone and "patan" in (config.spike_fn, experiment.spike_fn):
            implied["spike_fn"] = config.spike_fn  # the fixed ones leave no weights
        fitting = [name for name, channels in CHANNELS.items() if channels == config.in_channels]
        if not fitting:
            raise CheckpointError(
                f"The weights of {source} take frames of {config.in_channels} channels, such as "
                f"colour images. Events have {', '.join(map(str, sorted({*CHANNELS.values()})))}."
            )
        if experiment.aggregation not in fitting:
            implied["aggregation"] = fitting[0]
        return implied

    def _check_given(self, implied: Mapping[str, Any], experiment: EventExp, source: Path) -> None:
        wrong = [
            f"`{name}` {key.kind.text(implied[name])}, not "
            f"{key.kind.text(getattr(experiment, name))}"
            for name, key in experiment.declarations().items()
            if name in implied
            and experiment.is_set(name)
            and _network(name, implied[name]) != _network(name, getattr(experiment, name))
        ]
        if wrong:
            raise CheckpointError(
                f"The weights of {source} need {'; '.join(wrong)}. Leave these keys out, and give "
                "an experiment (-n or -f) that does not set them otherwise."
            )

    def _check_nothing_is_missing(self, experiment: EventExp, source: Path) -> None:
        classes = self.config.num_classes
        name_known = (
            experiment.is_set("data_name") or len(experiment.dataset_kind.class_names) == classes
        )
        recipe = experiment.data_name if name_known else _dataset_with(classes)
        words = RECIPES.get(recipe, RECIPES["gen1"]).split()
        missing = {
            name: value
            for name, value in zip(words[::2], words[1::2], strict=True)
            if self._matters(name)
            and not experiment.is_set(name)
            and not (name == "data_name" and name_known)
        }
        if missing:
            published = " ".join(f"{name} {value}" for name, value in missing.items())
            raise CheckpointError(
                f"{source} was written by the published code, which keeps no keys, and its weights "
                f"do not tell {', '.join(f'`{name}`' for name in missing)}. Give what it was "
                "trained with; the published commands for "
                f"{recipe if recipe in RECIPES else 'gen1'} have `{published}`."
            )

    def _matters(self, name: str) -> bool:
        """Return whether detections can depend on a key."""
        match name:
            case "T":
                return self.config.use_spike.backbone
            case "thresh" | "readout" | "reset":
                return self.config.embedding != "count"
            case "write_zero" | "Ts":
                return self.config.embedding == "arsnn"
        return True


def _dataset_with(classes: int) -> str:
    """Return a dataset with this number of classes, or Gen1 if there is none."""
    return next((name for name in RECIPES if len(DATASETS[name].class_names) == classes), "gen1")


def _network(name: str, value: Any) -> object:
    """Return the effect of a value; different multipliers can give the same network."""
    match name:
        case "depth":
            return DetectorConfig(depth=value).blocks
        case "width":
            return DetectorConfig(width=value).base_channels
    return value
