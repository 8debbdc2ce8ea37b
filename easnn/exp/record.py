"""The record of an experiment in a checkpoint."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tabulate import tabulate

from easnn.exp.event_exp import EventExp
from easnn.exp.keys import OutputKeys
from easnn.exp.lookup import experiment_names, get_exp, source_file, source_name
from easnn.models.config import DetectorKeys, EmbeddingKeys
from easnn.utils.errors import CheckpointError, ConfigError

NETWORK_KEYS = (
    *DetectorKeys.declarations(),
    *EmbeddingKeys.declarations(),
    "Tm",
    "aggregation",
    "measure",
)
"""Keys that define the network of a checkpoint and the meaning of its input."""


@dataclass(frozen=True)
class ExperimentRecord:
    """What identifies an experiment.

    Attributes:
        name: its name, if it comes with the package.
        file: the file that defines its class, if any.
        defines: attributes that its class adds, such as builders and keys. Without this code the
            experiment cannot be rebuilt.
        keys: the value of every key as built-in types.
        class_names: names of the classes in the order of their ids; None in checkpoints written
            before names were recorded.
        digest: digest of the text of its file, if any; also None in earlier checkpoints.
    """

    name: str | None
    file: str | None
    defines: list[str]
    keys: dict[str, object]
    class_names: list[str] | None = None
    digest: str | None = None

    @classmethod
    def of(cls, experiment: EventExp) -> Self:
        """Return the record of an experiment.

        Raises:
            DataError: if the dataset does not declare its classes as it should.
        """
        file = source_file(experiment)
        classes = [c for c in type(experiment).__mro__ if c not in EventExp.__mro__]
        defines = {name for c in classes for name in vars(c) if not name.startswith("__")}
        return cls(
            name=source_name(experiment),
            file=None if file is None else str(file),
            defines=sorted(defines),
            keys=experiment.plain(),
            class_names=[*experiment.class_names()],
            digest=None if file is None else _digest(file),
        )

    @classmethod
    def read(cls, value: object, source: Path) -> Self:
        """Return the record from the values that :meth:`plain` returned.

        Args:
            value: the entry ``experiment`` of a checkpoint.
            source: the checkpoint, for messages.

        Raises:
            CheckpointError: if the entry is not a record.
        """
        match value:
            case {
                "name": str() | None as name,
                "file": str() | None as file,
                "defines": list(defines),
                "keys": dict(keys),
                **others,
            }:
                names, digest = others.get("class_names"), others.get("digest")
                return cls(
                    name,
                    file,
                    [str(item) for item in defines],
                    keys,
                    [str(item) for item in names] if isinstance(names, list) else None,
                    digest if isinstance(digest, str) else None,
                )
        raise CheckpointError(f"{source} does not say which experiment it belongs to.")

    def plain(self) -> dict[str, Any]:
        """Return the record as built-in types."""
        return dataclasses.asdict(self)

    def experiment(self, source: Path) -> EventExp:
        """Rebuild the experiment without running code that the record names.

        Only an experiment that comes with the package is looked up by its name. One from another
        file is rebuilt from its keys, if the file only sets keys.

        Args:
            source: the checkpoint, for messages.

        Raises:
            CheckpointError: if the user has to give the experiment file, or the record does not fit
                this version.
        """
        if self.name in experiment_names():
            experiment = get_exp(exp_name=self.name)
        elif self.defines:
            raise CheckpointError(
                f"{source} was trained with the experiment file {self.file}, which defines "
                f"{', '.join(self.defines)}. Give this file with -f."
            )
        else:
            experiment = EventExp()
        self.give(experiment, self.keys, source)
        return experiment

    def give(self, experiment: EventExp, names: Collection[str], source: Path) -> None:
        """Set the named keys of ``experiment`` to their values in the record.

        Raises:
            CheckpointError: if this version does not know a key or does not accept its value.
        """
        try:
            experiment.load_plain({name: self.keys[name] for name in names if name in self.keys})
        except ConfigError as error:
            raise CheckpointError(
                f"The experiment in {source} does not fit this version: {error} Give another with "
                "-n or -f."
            ) from error

    def differences(self, experiment: EventExp) -> str:
        """Return a table of the keys whose values in ``experiment`` differ, except output keys."""
        here = experiment.plain()
        names = [name for name in {**self.keys, **here} if name not in OutputKeys.declarations()]
        rows = [
            (name, self.keys.get(name, "not there"), here.get(name, "not there"))
            for name in names
            if self.keys.get(name) != here.get(name)
        ]
        return tabulate(rows, ("key", "checkpoint", "here"), disable_numparse=True) if rows else ""


def _digest(file: Path) -> str | None:
    try:
        return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
    except OSError:  # removed since it was imported
        return None
