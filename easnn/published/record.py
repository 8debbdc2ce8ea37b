"""The experiment of a published checkpoint: some keys follow from its weights, others have to be given."""

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
        "gen4": "data_name gen4 Tl 4 Tm 4 aggregation event_sum T 3 thresh 1 readout sum write_zero True",
        "n-caltech": "data_name n-caltech Tm 4 window 0 T 3 thresh 1 readout sum write_zero True",
    }
)
"""By dataset: the keys that detections depend on, the weights do not tell, and the published commands set."""

LEFT_ALONE = ("act", "Ts", "reset", "abs", "Tl", "window", "aggregation", "slicing", "measure", "test_size")
"""Further keys that detections depend on; the published commands leave them at their defaults."""

TOLD = ("num_classes", "depth", "width", "stem", "depthwise", "use_spike", "embedding", "norm")
"""Keys that the weights of every network tell."""

TOLD_BY_CONVOLUTIONS = ("embedding_depth", "embedding_ksize")
"""Keys that the weights of an embedding with convolutions tell."""


class PublishedRecord:
    """The part of an experiment that the weights of a published checkpoint tell.

    Args:
        config: settings of its network; those that the weights do not tell have their defaults.
    """

    def __init__(self, config: DetectorConfig) -> None:
        self.config = config

    def experiment(self, source: Path) -> EventExp:
        """Raise an error: the weights alone do not tell the experiment.

        Args:
            source: the checkpoint, for messages.

        Raises:
            CheckpointError: always.
        """
        raise CheckpointError(
            f"{source} was written by the published code and does not carry its experiment. Convert it first: "
            f"tools/convert_checkpoint.py {source} NEW_FILE key value …"
        )

    def complete(self, experiment: EventExp, source: Path) -> str:
        """Set the keys that the weights tell, after the user has set those that they do not tell.

        Args:
            experiment: with the keys that the user gave; ``is_set`` is true for them.
            source: the checkpoint, for messages.

        Returns:
            A table of the keys that the user did not give, their values, and the sources of the values.

        Raises:
            CheckpointError: if a key contradicts the weights, or has to be given.
        """
        told = self._told(experiment, source)
        self._check_given(told, experiment, source)
        self._check_nothing_is_missing(experiment, source)
        rows = []
        for name in (*told, *LEFT_ALONE):
            if experiment.is_set(name) or not self._matters(name):
                continue
            if name in told:
                setattr(experiment, name, told[name])
            key = experiment.declarations()[name]
            origin = "the weights" if name in told else "its default"
            rows.append((name, key.kind.text(getattr(experiment, name)), origin))
        return tabulate(rows, ("key", "value", "from"), disable_numparse=True)

    def _told(self, experiment: EventExp, source: Path) -> dict[str, Any]:
        """Return the keys that follow from the weights, with their values."""
        config = self.config
        told = {name: getattr(config, name) for name in TOLD}
        if config.embedding != "count":
            told |= {name: getattr(config, name) for name in TOLD_BY_CONVOLUTIONS}
        if config.use_spike.backbone and "patan" in (config.spike_fn, experiment.spike_fn):
            told["spike_fn"] = config.spike_fn  # the weights tell `patan` from the others, nothing more
        fitting = [name for name, channels in CHANNELS.items() if channels == config.in_channels]
        if not fitting:
            raise CheckpointError(
                f"The weights of {source} take frames of {config.in_channels} channels, such as colour images. "
                f"Events have {', '.join(map(str, sorted({*CHANNELS.values()})))}."
            )
        if experiment.aggregation not in fitting:
            told["aggregation"] = fitting[0]
        return told

    def _check_given(self, told: Mapping[str, Any], experiment: EventExp, source: Path) -> None:
        wrong = [
            f"`{name}` {key.kind.text(told[name])}, not {key.kind.text(getattr(experiment, name))}"
            for name, key in experiment.declarations().items()
            if name in told
            and experiment.is_set(name)
            and _network(name, told[name]) != _network(name, getattr(experiment, name))
        ]
        if wrong:
            raise CheckpointError(
                f"The weights of {source} need {'; '.join(wrong)}. Leave these keys out, and give an experiment "
                "(-n or -f) that does not set them otherwise."
            )

    def _check_nothing_is_missing(self, experiment: EventExp, source: Path) -> None:
        classes = self.config.num_classes
        name_told = experiment.is_set("data_name") or len(experiment.dataset_kind.class_names) == classes
        recipe = experiment.data_name if name_told else _dataset_with(classes)
        words = RECIPES.get(recipe, RECIPES["gen1"]).split()
        missing = {
            name: value
            for name, value in zip(words[::2], words[1::2], strict=True)
            if self._matters(name) and not experiment.is_set(name) and not (name == "data_name" and name_told)
        }
        if missing:
            published = " ".join(f"{name} {value}" for name, value in missing.items())
            raise CheckpointError(
                f"{source} was written by the published code, which keeps no keys, and its weights do not tell "
                f"{', '.join(f'`{name}`' for name in missing)}. Give what it was trained with; the published "
                f"commands for {recipe if recipe in RECIPES else 'gen1'} have `{published}`."
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
    """Return what a value means for the network; different multipliers can give the same network."""
    match name:
        case "depth":
            return DetectorConfig(depth=value).blocks
        case "width":
            return DetectorConfig(width=value).base_channels
    return value
