"""The state of a training run, as saved in checkpoints."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from easnn.checkpoints import load_weights, save_checkpoint
from easnn.engine.ema import ModelEma
from easnn.utils.distributed import barrier, gather_objects, is_main, rank
from easnn.utils.errors import CheckpointError


class Position(NamedTuple):
    """Position of a run: ``step`` steps of ``epoch`` are done, both counted from 0."""

    epoch: int = 0
    step: int = 0


class RunState:
    """The state of a run; equal on all processes after each step, except for the RNG states.

    Attributes:
        position: position of the run. After the last step of an epoch it stays in that epoch until
            the evaluation is done as well.
        best_ap: best AP so far, ``None`` before the first evaluation.
        best_epoch: number of epochs after which it was reached.
        best_counts: numbers of frames and boxes of the evaluated data.
        changes: for each time that the run was resumed with other settings, ``epoch``, ``step`` and
            ``settings``: name → [before, after], as text.

    Args:
        model: the trained model.
        optimizer: its optimizer.
        scaler: the gradient scaler of mixed precision.
        ema: whether to maintain a moving average of the weights.
        steps_per_epoch: steps in an epoch.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        *,
        ema: bool,
        steps_per_epoch: int,
    ) -> None:
        self.position = Position()
        self.best_ap: float | None = None
        self.best_epoch: int | None = None
        self.best_counts: list[int] | None = None
        self.changes: list[dict[str, Any]] = []
        self._steps_of_other_epochs = 0
        self._model = model
        self._ema = ModelEma(model) if ema else None
        self._optimizer = optimizer
        self._scaler = scaler
        self._steps_per_epoch = steps_per_epoch

    @property
    def iteration(self) -> int:
        """Number of steps up to the position in epochs of the present length."""
        return self.position.epoch * self._steps_per_epoch + self.position.step

    @property
    def steps_of_other_epochs(self) -> int:
        """What to add to :attr:`iteration` for the number of steps since the start of the run.

        It is not 0 if the run was resumed with another number of steps per epoch.
        """
        return self._steps_of_other_epochs

    @property
    def evaluated_model(self) -> nn.Module:
        """The moving average of the model, or the model itself if there is none."""
        return self._ema.model if self._ema else self._model

    def step_done(self, *, updated: bool) -> None:
        """Count a step; update the moving average if the weights were ``updated``."""
        self.position = Position(self.position.epoch, self.position.step + 1)
        if updated and self._ema:
            self._ema.update(self._model)

    def update_best(self, ap: float, epoch: int, counts: list[int]) -> bool:
        """Record the AP after ``epoch`` epochs if it is the best so far; return whether it is.

        Args:
            ap: the AP.
            epoch: number of epochs.
            counts: numbers of frames and boxes of the evaluated data.
        """
        if math.isnan(ap) or (self.best_ap is not None and ap <= self.best_ap):
            return False
        self.best_ap, self.best_epoch, self.best_counts = float(ap), epoch, counts
        return True

    def forget_best(self) -> None:
        """Let the best AP start anew."""
        self.best_ap = self.best_epoch = self.best_counts = None

    def save(
        self,
        path: Path,
        experiment: Mapping[str, Any],
        options: Mapping[str, Any],
        lanes: list[Tensor] | None = None,
    ) -> None:
        """Write a checkpoint; every process calls this and returns once the file is complete.

        Args:
            path: the file.
            experiment: the keys of the run as plain values.
            options: other settings of the run.
            lanes: the memory of the clips of all processes, if any.

        Raises:
            OutputError: if the file cannot be written.
        """
        rng = gather_objects(capture_rng())
        if is_main():
            save_checkpoint(
                path,
                {
                    "model": self.evaluated_model.state_dict(),
                    "raw_model": self._model.state_dict(),
                    "optimizer": self._optimizer.state_dict(),
                    "scaler": self._scaler.state_dict(),
                    "ema_updates": self._ema.updates if self._ema else 0,
                    "epoch": self.position.epoch,
                    "step": self.position.step,
                    "steps_per_epoch": self._steps_per_epoch,
                    "rng": rng,
                    "best_ap": self.best_ap,
                    "best_epoch": self.best_epoch,
                    "best_counts": self.best_counts,
                    "steps_done": self.iteration + self.steps_of_other_epochs,
                    "experiment": dict(experiment),
                    "options": dict(options),
                    "changes": self.changes,
                    **({} if lanes is None else {"lanes": lanes}),
                },
            )
        barrier(f"the end of writing {path.name}")

    def restore(self, checkpoint: Mapping[str, Any], source: Path) -> None:
        """Restore the state from a checkpoint.

        Args:
            checkpoint: from :func:`~easnn.checkpoints.load_checkpoint`.
            source: its file, for messages.

        Raises:
            CheckpointError: if the model, the optimizer or the number of steps per epoch differs.
        """
        _check_same_everywhere(checkpoint, source)
        self._check_position(checkpoint, source)
        with readable("optimizer", source):
            self._check_optimizer(checkpoint["optimizer"], source)
        load_weights(self._model, checkpoint["raw_model"], strict=True, source=str(source))
        if self._ema:
            load_weights(self._ema.model, checkpoint["model"], strict=True, source=str(source))
            self._ema.updates = checkpoint["ema_updates"]
        with readable("optimizer", source):
            self._restore_optimizer(checkpoint["optimizer"])
        if checkpoint["scaler"]:  # empty if the run has not used loss scaling so far
            with readable("scaler", source):
                self._scaler.load_state_dict(checkpoint["scaler"])
        self.position = Position(checkpoint["epoch"], checkpoint["step"])
        self.best_ap = checkpoint["best_ap"]
        self.best_epoch = checkpoint["best_epoch"]
        # Earlier versions did not write these entries.
        self.best_counts = checkpoint.get("best_counts")
        self.changes = list(checkpoint.get("changes", []))
        saved_iteration = checkpoint["epoch"] * checkpoint["steps_per_epoch"] + checkpoint["step"]
        steps_done = checkpoint.get("steps_done", saved_iteration)
        self._steps_of_other_epochs = steps_done - self.iteration
        if rank() < len(checkpoint["rng"]):
            with readable("rng", source):
                restore_rng(checkpoint["rng"][rank()])

    def _check_position(self, checkpoint: Mapping[str, Any], source: Path) -> None:
        saved = checkpoint["steps_per_epoch"]
        if checkpoint["step"] and saved != self._steps_per_epoch:
            raise CheckpointError(
                f"{source} stopped at step {checkpoint['step']} of an epoch of {saved} steps, but "
                f"an epoch now has {self._steps_per_epoch}. Resume with the same dataset, batch "
                "size (-b) and `accumulate`."
            )

    def _restore_optimizer(self, saved: Mapping[str, Any]) -> None:
        """Restore moments and step counts; the options of the groups stay those of this run.

        The learning rate is set in each step, so that of the last step is restored.

        Raises:
            ValueError: if moments do not fit their parameter.
        """
        parameters = [
            weight for group in self._optimizer.param_groups for weight in group["params"]
        ]
        numbers = [number for group in saved["param_groups"] for number in group["params"]]
        for number, weight in zip(numbers, parameters, strict=True):
            moments = saved["state"].get(number, {}).values()
            shapes = {m.shape for m in moments if isinstance(m, Tensor) and m.ndim}
            if not shapes <= {weight.shape}:
                raise ValueError(f"parameter {number} has moments of another shape")
        options = [
            {name: value for name, value in group.items() if name not in ("params", "lr")}
            for group in self._optimizer.param_groups
        ]
        self._optimizer.load_state_dict(dict(saved))
        for group, own in zip(self._optimizer.param_groups, options, strict=True):
            group.update(own)

    def _check_optimizer(self, saved: Mapping[str, Any], source: Path) -> None:
        if _layout(saved) != _layout(self._optimizer.state_dict()):
            raise CheckpointError(
                f"The optimizer state in {source} belongs to another optimizer or to other "
                "parameter groups. Resume with the same `optimizer` and model keys, or start a new "
                "run from its weights (-c without --resume)."
            )


@contextmanager
def readable(name: str, source: Path) -> Iterator[None]:
    """Turn what a damaged entry of a checkpoint causes into an error that names it.

    Raises:
        CheckpointError: if the block fails.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        reason = f"{type(e).__name__}: {e}".splitlines()[0].rstrip(".")
        raise CheckpointError(
            f"`{name}` of {source} cannot be that of a run ({reason}). The file is damaged: resume "
            "from another checkpoint."
        ) from e


def _check_same_everywhere(checkpoint: Mapping[str, Any], source: Path) -> None:
    """Check that all processes read the same checkpoint: machines may not share a file system."""
    positions = gather_objects((checkpoint["epoch"], checkpoint["step"], checkpoint["ema_updates"]))
    if len(set(positions)) > 1:
        found = ", ".join(f"({epoch}, {step})" for epoch, step, _ in positions)
        raise CheckpointError(
            f"Every process must resume from the same checkpoint, but {source} is at these (epoch, "
            f"step): {found}. Copy the main process's file to every machine, or use a shared "
            "directory."
        )


def _layout(optimizer: Mapping[str, Any]) -> list[tuple[str, int, list[str]]]:
    """Return name, number of parameters and option names of each parameter group."""
    groups = optimizer["param_groups"]
    return [(group["name"], len(group["params"]), sorted(map(str, group))) for group in groups]


def capture_rng() -> dict[str, Any]:
    """Return the RNG states of Python, NumPy, torch and this process's GPU, if any."""
    numpy_state: dict[str, Any] = np.random.get_state(legacy=False)  # noqa: NPY002
    mersenne = numpy_state["state"]
    return {
        "python": random.getstate(),
        "numpy": {
            **numpy_state,
            "state": {**mersenne, "key": torch.from_numpy(mersenne["key"].astype(np.int64))},
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_rng(states: dict[str, Any]) -> None:
    """Restore the RNG states that :func:`capture_rng` returned."""
    random.setstate(states["python"])
    mersenne = states["numpy"]["state"]
    key = mersenne["key"].numpy().astype(np.uint32)
    np.random.set_state({**states["numpy"], "state": {**mersenne, "key": key}})  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
