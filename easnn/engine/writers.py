"""Writers of metrics and pictures: JSON lines, TensorBoard and Weights & Biases."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from easnn.engine.run_directory import RunDirectory
from easnn.utils.distributed import is_main
from easnn.utils.errors import ConfigError, OutputError, did_you_mean
from easnn.utils.files import atomic_write, read_text
from easnn.utils.options import WRITERS

Pictures: TypeAlias = Mapping[str, npt.NDArray[np.uint8]]
"""RGB pictures [H,W,3] by name."""


class MetricWriter(Protocol):
    """Writes the metrics and pictures of a run; exists on the main process only."""

    def continue_from(self, iteration: int, *, evaluates: bool) -> None:
        """Drop the records that a resumed run writes again, if possible.

        Args:
            iteration: steps that are done.
            evaluates: whether the run resumes with the evaluation after these steps.
        """
        ...

    def write(self, kind: str, iteration: int, values: Mapping[str, float]) -> None:
        """Write the ``values`` of a ``kind`` (``train``, ``eval``) after ``iteration`` steps."""
        ...

    def write_pictures(self, iteration: int, pictures: Pictures) -> None:
        """Write pictures after ``iteration`` steps, if the format supports pictures."""
        ...

    def close(self) -> None:
        """Flush the buffers and close."""
        ...


def check_writer(name: str) -> None:
    """Check that the writer ``name`` exists, that its package is installed and that it is usable.

    Weights & Biases asks for a login if there is none: on a terminal it asks the user, on the main
    process only.

    Raises:
        ConfigError: if not.
    """
    _check_installed(name)
    if name == "wandb" and is_main():
        import wandb  # slow to import and optional

        with _usable_wandb():
            wandb.login()  # False without one in its mode `offline`, or if the user wants none


def _check_installed(name: str) -> None:
    """Check that the writer ``name`` exists and that its package is installed."""
    if name not in WRITERS:
        raise ConfigError(
            f"`--logger` must be one of {', '.join(WRITERS)}, but is "
            f"{name}.{did_you_mean(name, WRITERS)}"
        )
    if name == "wandb" and find_spec("wandb") is None:
        raise ConfigError(
            "`--logger wandb` needs the package wandb: `pip install wandb`, or use `--logger "
            "tensorboard`."
        )


@contextmanager
def _usable_wandb() -> Iterator[None]:
    """Turn errors of Weights & Biases into errors that say what to do instead."""
    import wandb

    try:
        yield
    except wandb.Error as error:
        raise ConfigError(
            f"`--logger wandb` cannot be used: {str(error).strip().rstrip('.')}. Run "
            "`wandb login`, keep the numbers on this machine (environment variable "
            "WANDB_MODE=offline), or use `--logger tensorboard`."
        ) from error


def build_writers(
    name: str | None, run: RunDirectory, *, experiment: Mapping[str, Any]
) -> list[MetricWriter]:
    """Return the writers of ``metrics.jsonl`` and ``name``, or none except on the main process.

    Args:
        name: one of :data:`WRITERS`, or ``None``.
        run: paths of the run's files.
        experiment: the keys of the run, shown by Weights & Biases.

    Raises:
        ConfigError: if the name is unknown, its package is not installed, or it needs a login.
        OutputError: if the event files of TensorBoard cannot be written.
    """
    if name is not None:
        _check_installed(name)
    if not is_main():
        return []
    writers: list[MetricWriter] = [JsonLinesWriter(run.metrics)]
    if name == "tensorboard":
        writers.append(TensorboardWriter(run.tensorboard))
    if name == "wandb":
        writers.append(WandbWriter(run.path, experiment))
    return writers


class JsonLinesWriter:
    """Appends one JSON object per line: ``{"kind": …, "iteration": …, <metrics>}``.

    Metrics that are not finite become null.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def continue_from(self, iteration: int, *, evaluates: bool) -> None:
        """Drop the lines that a resumed run writes again.

        Raises:
            OutputError: if the file cannot be written.
        """
        if self._path.exists():
            lines = read_text(self._path).splitlines(keepends=True)
            kept = [line for line in lines if _is_kept(line, iteration, evaluates)]
            with atomic_write(self._path) as file:
                file.write("".join(kept).encode())

    def write(self, kind: str, iteration: int, values: Mapping[str, float]) -> None:
        """Append a line.

        Raises:
            OutputError: if the file cannot be written.
        """
        numbers = {name: value if math.isfinite(value) else None for name, value in values.items()}
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"kind": kind, "iteration": iteration, **numbers}) + "\n")
        except OSError as error:
            raise OutputError(
                f"Cannot write {self._path}: {error.strerror}. Free some space."
            ) from error

    def write_pictures(self, iteration: int, pictures: Pictures) -> None:
        """Do nothing: the file contains metrics only."""

    def close(self) -> None:
        """Do nothing: every line is written at once."""


class TensorboardWriter:
    """Writes scalars ``<kind>/<name>`` and pictures for TensorBoard; needs no network.

    Args:
        path: directory of the event files.

    Raises:
        OutputError: if they cannot be written.
    """

    def __init__(self, path: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import and optional

        self._open = SummaryWriter
        self._path = path
        with self._named_failures():
            self._writer = SummaryWriter(str(path))

    def continue_from(self, iteration: int, *, evaluates: bool) -> None:
        """Let TensorBoard hide the points after ``iteration`` steps."""
        with self._named_failures():
            self._writer.close()
            self._writer = self._open(str(self._path), purge_step=iteration + 1)

    def write(self, kind: str, iteration: int, values: Mapping[str, float]) -> None:
        """Add one point to each curve."""
        with self._named_failures():
            for name, value in values.items():
                self._writer.add_scalar(f"{kind}/{name}", value, iteration)

    def write_pictures(self, iteration: int, pictures: Pictures) -> None:
        """Add each picture under its name."""
        with self._named_failures():
            for name, picture in pictures.items():
                self._writer.add_image(name, picture, iteration, dataformats="HWC")

    def close(self) -> None:
        """Flush the buffers and close."""
        with self._named_failures():
            self._writer.close()

    @contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"Cannot write {self._path}: {error.strerror}. Free some space."
            ) from error


class WandbWriter:
    """Sends scalars ``<kind>/<name>`` and pictures to Weights & Biases.

    Args:
        path: the run's directory; its name is the run's name.
        experiment: the keys of the run.
    """

    def __init__(self, path: Path, experiment: Mapping[str, Any]) -> None:
        import wandb

        self._image = wandb.Image
        with _usable_wandb():
            self._run = wandb.init(
                project="easnn", name=path.name, dir=str(path), config=dict(experiment)
            )

    def continue_from(self, iteration: int, *, evaluates: bool) -> None:
        """Do nothing: a resumed run becomes a new Weights & Biases run."""

    def write(self, kind: str, iteration: int, values: Mapping[str, float]) -> None:
        """Add one point to each curve."""
        self._run.log({f"{kind}/{name}": value for name, value in values.items()}, step=iteration)

    def write_pictures(self, iteration: int, pictures: Pictures) -> None:
        """Add each picture under its name."""
        self._run.log(
            {name: self._image(picture) for name, picture in pictures.items()}, step=iteration
        )

    def close(self) -> None:
        """Send the buffered data and finish."""
        self._run.finish()


def _is_kept(line: str, iteration: int, evaluates: bool) -> bool:
    """Return whether a line is complete (a crash may cut the last) and not written again."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return False
    written_again = evaluates and record["kind"] == "eval" and record["iteration"] == iteration
    return record["iteration"] <= iteration and not written_again
