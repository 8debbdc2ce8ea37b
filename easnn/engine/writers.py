"""Where the numbers of a run go: JSON lines always, TensorBoard or Weights & Biases on request."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from easnn.engine.run_directory import RunDirectory
from easnn.utils.distributed import is_main
from easnn.utils.errors import ConfigError, OutputError, did_you_mean
from easnn.utils.files import atomic_write

WRITERS = ("tensorboard", "wandb")


class MetricWriter(Protocol):
    """Takes the numbers of a run; exists on the main process only."""

    def continue_from(self, iteration: int) -> None:
        """Drop what was written after ``iteration`` steps, if that can be: a resumed run writes it again."""
        ...

    def write(self, kind: str, iteration: int, values: Mapping[str, float]) -> None:
        """Take ``values`` of a ``kind`` (``train``, ``eval``) after ``iteration`` steps of the run."""
        ...

    def close(self) -> None:
        """Finish what is buffered."""
        ...


def build_writers(
    name: str | None, run: RunDirectory, *, experiment: Mapping[str, Any]
) -> list[MetricWriter]:
    """Return the main process's writers, of ``metrics.jsonl`` and ``name``; other processes have none.

    Args:
        name: One of :data:`WRITERS`, or ``None``.
        run: Where the files go.
        experiment: The keys of the run, shown by Weights & Biases.

    Raises:
        ConfigError: if the name is unknown or its package is not installed.
    """
    if name not in (None, *WRITERS):
        raise ConfigError(
            f"`--logger` must be one of {', '.join(WRITERS)}, but is {name}.{did_you_mean(name, WRITERS)}"
        )
    if not is_main():
        return []
    writers: list[MetricWriter] = [JsonLinesWriter(run.metrics)]
    if name == "tensorboard":
        writers.append(TensorboardWriter(run.tensorboard))
    if name == "wandb":
        writers.append(WandbWriter(run.path, experiment))
    return writers


class JsonLinesWriter:
    """Appends a JSON object per line: ``{"kind": …, "iteration": …, <numbers>}``; what is not finite is null.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def continue_from(self, iteration: int) -> None:
        """Drop the lines written after ``iteration`` steps.

        Raises:
            OutputError: if the file cannot be written.
        """
        if self._path.exists():
            lines = self._path.read_text().splitlines(keepends=True)
            with atomic_write(self._path) as file:
                file.write("".join(line for line in lines if _is_up_to(line, iteration)).encode())

    def write(self, kind: str, iteration: int, values: Mapping[str, float]) -> None:
        """Append a line.

        Raises:
            OutputError: if the file cannot be written.
        """
        numbers = {name: value if math.isfinite(value) else None for name, value in values.items()}
        try:
            with self._path.open("a") as file:
                file.write(json.dumps({"kind": kind, "iteration": iteration, **numbers}) + "\n")
        except OSError as error:
            raise OutputError(f"Cannot write {self._path}: {error.strerror}. Free some space.") from error

    def close(self) -> None:
        """Do nothing: every line is in the file as soon as it is written."""


class TensorboardWriter:
    """Writes scalars ``<kind>/<name>`` for TensorBoard, which needs no network.

    Args:
        path: Directory of the event files.
    """

    def __init__(self, path: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and not every run wants it

        self._open = SummaryWriter
        self._path = path
        self._writer = SummaryWriter(str(path))

    def continue_from(self, iteration: int) -> None:
        """Let TensorBoard hide points after ``iteration`` steps."""
        self._writer.close()
        self._writer = self._open(str(self._path), purge_step=iteration + 1)

    def write(self, kind: str, iteration: int, values: Mapping[str, float]) -> None:
        """Add one point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(f"{kind}/{name}", value, iteration)

    def close(self) -> None:
        """Write what is buffered."""
        self._writer.close()


class WandbWriter:
    """Sends scalars ``<kind>/<name>`` to Weights & Biases.

    Args:
        path: The run's directory; its name is the run's name.
        experiment: The keys of the run.

    Raises:
        ConfigError: if the package is not installed.
    """

    def __init__(self, path: Path, experiment: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ImportError as error:
            raise ConfigError(
                "`--logger wandb` needs the package wandb: `pip install wandb`, or use `--logger "
                "tensorboard`."
            ) from error
        self._run = wandb.init(project="easnn", name=path.name, dir=str(path), config=dict(experiment))

    def continue_from(self, iteration: int) -> None:
        """Do nothing: a resumed run is a new one there."""

    def write(self, kind: str, iteration: int, values: Mapping[str, float]) -> None:
        """Add one point to each curve."""
        self._run.log({f"{kind}/{name}": value for name, value in values.items()}, step=iteration)

    def close(self) -> None:
        """Send what is buffered."""
        self._run.finish()


def _is_up_to(line: str, iteration: int) -> bool:
    """Tell whether a line is of the first ``iteration`` steps, and whole: a crash may have cut the last."""
    try:
        return bool(json.loads(line)["iteration"] <= iteration)
    except json.JSONDecodeError:
        return False
