"""The training loop: epochs of steps with evaluations in between, and exact resumption."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from loguru import logger
from torch import nn

from easnn.checkpoints import Change
from easnn.data import DetectionBatch, Prepare, TrainLoader, named_worker_failures
from easnn.engine.evaluate import Evaluation
from easnn.engine.firing import FiringWatch
from easnn.engine.freezing import named_parts
from easnn.engine.interrupt import SIGNALS, StopSignals, exit_code
from easnn.engine.lanes import Lanes
from easnn.engine.nan_guard import Overflows, not_finite
from easnn.engine.progress import Progress
from easnn.engine.run_directory import RunDirectory
from easnn.engine.state import Position, RunState, readable
from easnn.engine.step import Part, StepReport, TrainingStep, average_gradients, train_mode
from easnn.engine.train_config import TrainConfig
from easnn.engine.writers import MetricWriter, Pictures
from easnn.evaluation import EvaluationResult
from easnn.optim import Schedule, set_learning_rate
from easnn.utils.distributed import broadcast_object, is_main, note_place
from easnn.utils.files import write_json
from easnn.utils.precision import Precision


@dataclass(frozen=True)
class TrainResult:
    """The result of a training run.

    Attributes:
        best_ap: best AP of all evaluations; ``None`` if the AP was never defined.
        best_epoch: number of epochs after which it was reached.
        last: the last evaluation of this call; ``None`` if there was none.
    """

    best_ap: float | None
    best_epoch: int | None
    last: EvaluationResult | None


class Trainer:
    """Trains a model; every process creates a trainer and calls the same methods.

    Args:
        model: the detector, on ``device``. What the key ``freeze`` names must be frozen
            (:func:`~easnn.engine.freeze_parts`).
        optimizer: from :func:`~easnn.optim.build_optimizer`.
        schedule: learning rate of each iteration.
        train_loader: loads this process's share of each global batch, which is computed in as many
            parts as the key ``accumulate`` says.
        prepare: computes the network's input and targets from a batch.
        evaluate: evaluates a model; called on every process.
        config: configuration of the run.
        run: paths of the run's files.
        device: this process's device.
        experiment: the keys of the run as plain values; saved in each checkpoint.
        options: other settings of the run; saved in each checkpoint.
        open_writers: returns the writers of metrics and pictures; called when the training begins,
            so that nothing is written before.
        stop_signals: signals that stop the run after the current step.
        check_owned: called on the main process before each checkpoint; raises an error if this run
            must not write to its directory any more.
        after_epoch: called on every process at the end of each epoch.
        draw: draws pictures of a model after each evaluation; called on the main process only.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        train_loader: TrainLoader,
        prepare: Prepare,
        evaluate: Evaluation,
        config: TrainConfig,
        run: RunDirectory,
        device: torch.device,
        experiment: Mapping[str, Any],
        options: Mapping[str, Any] = MappingProxyType({}),
        open_writers: Callable[[], Sequence[MetricWriter]] = list,
        stop_signals: Sequence[int] = SIGNALS,
        check_owned: Callable[[], None] | None = None,
        after_epoch: Callable[[], None] | None = None,
        draw: Callable[[nn.Module], Pictures] | None = None,
    ) -> None:
        config.check_device(device)
        for part in named_parts(model, config.freeze):
            assert not any(parameter.requires_grad for parameter in part.parameters()), (
                "What `freeze` names must be frozen before the optimizer is built: `freeze_parts`."
            )
        precision = Precision(device, config.precision)
        parallel_model = average_gradients(model, device, sync_bn=config.sync_bn)
        self._step = TrainingStep(
            parallel_model,
            optimizer,
            precision,
            clip_grad=config.clip_grad,
            cuda_graphs=config.cuda_graphs,
        )
        self._state = RunState(
            model, optimizer, precision.scaler, ema=config.ema, steps_per_epoch=len(train_loader)
        )
        self._lanes = Lanes(config.clip) if config.clip > 1 else None
        self._model = model
        self._optimizer = optimizer
        self._schedule = schedule
        self._loader = train_loader
        self._prepare = prepare
        self._evaluate = evaluate
        self._draw = draw
        self._config = config
        self._run = run
        self._device = device
        self._experiment = dict(experiment)
        self._options = dict(options)
        self._best_ends = ""
        self._progress = Progress(config, len(train_loader), device, open_writers)
        self._check_owned = check_owned
        self._after_epoch = after_epoch
        self._overflows = Overflows()
        self._firing = FiringWatch(model)
        self._signals = StopSignals(stop_signals)
        self._last_result: EvaluationResult | None = None

    @property
    def evaluated_model(self) -> nn.Module:
        """The model whose AP is reported: the moving average of the weights if ``ema`` is set."""
        return self._state.evaluated_model

    def resume(
        self, checkpoint: Mapping[str, Any], source: Path, changes: Sequence[Change] = ()
    ) -> None:
        """Continue from a checkpoint as if the run had never stopped; no file is changed yet.

        Args:
            checkpoint: from :func:`~easnn.checkpoints.load_checkpoint`.
            source: its file, for messages.
            changes: settings that differ from the checkpoint; each checkpoint records them. If an
                AP is not comparable with those before, the best AP starts anew.

        Raises:
            CheckpointError: if the model, the optimizer or the number of steps per epoch differs.
        """
        self._state.restore(checkpoint, source)
        if self._lanes is not None:
            with readable("lanes", source):
                self._lanes.restore(checkpoint.get("lanes"), self._device)
        if changes:
            self._state.changes.append(
                {
                    **self._state.position._asdict(),
                    "settings": {change.name: [change.before, change.now] for change in changes},
                }
            )
        self._best_ends = ", ".join(
            f"`{change.name}` was {change.before} and is {change.now}"
            for change in changes
            if change.scores
        )
        self._continue_progress()

    def start_from(self, epoch: int) -> None:
        """Start the run at ``epoch`` (0-based) instead of the first one."""
        self._state.position = Position(epoch)
        self._continue_progress()

    def train(self) -> TrainResult:
        """Train to the last epoch, or until the AP has not improved for ``patience`` evaluations.

        On a stop signal, the current step is completed, the state is saved and the process exits
        with 128 and the number of the signal.

        Raises:
            TrainingError: if a loss is not finite, or the gradients of many steps in a row are not.
            OutputError: if a file cannot be written.
        """
        with self._signals, self.recording():
            self._check_best()
            if self._config.eval_initial and self._state.iteration == 0:
                self._evaluate_model(epochs_done=0)
                self.draw()
                self._save(self._run.initial)
            while (
                self._state.position.epoch < self._config.max_epoch and not self._out_of_patience()
            ):
                self._train_epoch()
                if self._evaluates(self._state.position.epoch):
                    self._save(self._run.latest)  # a resumed run repeats an interrupted evaluation
                    self._evaluate_and_keep_best()
                self._finish_epoch()
        return TrainResult(self._state.best_ap, self._state.best_epoch, self._last_result)

    # The parts of a run, one by one, for a rehearsal: the caller says in which order.

    def recording(self) -> AbstractContextManager[object]:
        """Return a context manager; within its block, metrics and pictures can be written."""
        return self._progress

    @property
    def position(self) -> Position:
        """The position of the run."""
        return self._state.position

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps of an epoch."""
        return len(self._loader)

    def next_batch(self) -> DetectionBatch | None:
        """Load the batch of the next step, and no other; None if the run is finished.

        Raises:
            DataError: if it cannot be read.
        """
        if self._state.position.step == len(self._loader):
            self._state.position = Position(self._state.position.epoch + 1)
        if self._state.position.epoch >= self._config.max_epoch:
            return None
        self._loader.sampler.start_at(*self._state.position, steps=1)
        with named_worker_failures():
            return next(iter(self._loader))

    def train_on(self, batch: DetectionBatch) -> StepReport:
        """Do the next step, with its batch.

        Raises:
            TrainingError: if a loss is not finite.
        """
        self._set_train_mode()
        return self._train_step(batch)

    def save(self) -> Path:
        """Write the state to the latest checkpoint, and return its path.

        Raises:
            OutputError: if it cannot be written.
        """
        self._save(self._run.latest)
        return self._run.latest

    def evaluate(self) -> EvaluationResult:
        """Evaluate the present weights and write the result.

        Raises:
            OutputError: if it cannot be written.
        """
        return self._evaluate_model(self._state.position.epoch + 1)

    def draw(self) -> Pictures:
        """Draw and write the pictures of an evaluation; none except on the main process."""
        if self._draw is None or not is_main():
            return {}
        with self._signals.immediate():
            pictures = self._draw(self.evaluated_model)
        self._progress.write_pictures(self._state.position, pictures)
        return pictures

    def _set_train_mode(self) -> None:
        train_mode(self._model, freeze_bn=self._config.freeze_bn, freeze=self._config.freeze)

    def _train_epoch(self) -> None:
        self._set_train_mode()
        self._loader.sampler.start_at(*self._state.position)
        note_place(self._next_step())
        with named_worker_failures():
            for batch in self._progress.over(self._loader, self._state.position):
                self._train_step(batch)

    def _train_step(self, batch: DetectionBatch) -> StepReport:
        lr = self._schedule(self._state.iteration)
        set_learning_rate(self._optimizer, lr)
        # One by one, so that the device holds the network's input of one part only.
        parts = map(self._part, batch.split(self._config.accumulate))
        before = self._state.position
        # A recorded CUDA graph runs no hooks.
        watched = before.step == 0 and not self._config.cuda_graphs
        with self._firing.counting() if watched else nullcontext():
            report = self._step.update(parts, stop_signal=self._signals.received)
        if self._lanes is not None:
            self._lanes.carry(report.state)
        if not report.finite:
            raise not_finite(report, batch, self._state.position)
        self._overflows.check(report, batch, self._state.position)
        self._state.step_done(updated=report.updated)
        note_place(self._next_step())
        if watched:
            self._note_firing(before, len(batch))
        self._progress.step(self._state.position, report, lr, len(batch))
        if report.stop_signal:
            self._stop(report.stop_signal)
        interval = self._config.ckpt_interval_steps
        if interval and self._state.position.step % interval == 0:
            self._save(self._run.latest)
        return report

    def _part(self, batch: DetectionBatch) -> Part:
        """Return the network's input and targets for a part of a batch."""
        events, targets = self._prepare(batch.to(self._device))
        if self._lanes is None:
            return events, targets
        targets, clips = self._lanes.clips_of(batch, targets)
        return events, targets, clips

    def _note_firing(self, before: Position, samples: int) -> None:
        rates = self._firing.rates(samples)
        self._firing.warn(rates, before)
        if numbers := rates.numbers():
            self._progress.write("firing", self._state.position, numbers)

    def _evaluate_and_keep_best(self) -> None:
        epochs_done = self._state.position.epoch + 1
        self._last_result = self._evaluate_model(epochs_done)
        self.draw()
        given = self._last_result.given
        counts = [given.frames, given.boxes]
        if self._state.best_counts not in (None, counts):
            before = "{} frames and {} boxes".format(*self._state.best_counts or ())
            self._end_best(f"{before} were evaluated, and are {counts[0]} and {counts[1]}")
        if self._state.update_best(self._last_result.ap, epochs_done, counts):
            self._save(self._run.best)

    def _check_best(self) -> None:
        """Let the best AP start anew if it is not comparable, or if its checkpoint is missing."""
        if self._state.best_epoch is None:
            return
        if self._best_ends:
            self._end_best(self._best_ends)
        elif broadcast_object(not self._run.best.exists()):
            self._end_best(f"{self._run.best} is not there")

    def _end_best(self, reason: str) -> None:
        best_ap, best_epoch = self._state.best_ap, self._state.best_epoch
        assert best_epoch is not None
        self._state.forget_best()
        if not is_main():
            return
        kept = ""
        if self._run.best.exists():
            former = self._run.former_best(best_epoch)
            self._run.best.rename(former)
            kept = f" Its checkpoint is {former}."
        logger.warning(
            "The best AP so far ({:.4f}, after epoch {}) is not comparable: {}. The best starts "
            "anew.{}",
            best_ap,
            best_epoch,
            reason,
            kept,
        )

    def _continue_progress(self) -> None:
        self._progress.continue_from(
            self._state.position, steps_of_other_epochs=self._state.steps_of_other_epochs
        )

    def _evaluate_model(self, epochs_done: int) -> EvaluationResult:
        with self._signals.immediate():
            result = self._evaluate(self.evaluated_model)
        if is_main():
            logger.info("After epoch {}:\n{}", epochs_done, result.table())
            write_json(self._run.result(epochs_done), result.to_dict())
            numbers = _numbers(result.to_dict())
            self._progress.write("eval", self._state.position, {**numbers, "epoch": epochs_done})
        return result

    def _finish_epoch(self) -> None:
        self._state.position = Position(self._state.position.epoch + 1)
        # First, because a run that is resumed from the latest checkpoint has finished the epoch.
        if self._config.save_history_ckpt:
            epoch = self._state.position.epoch
            self._save(self._run.history(epoch))
            if self._config.max_history and is_main():
                self._run.remove_history(before=epoch - self._config.max_history + 1)
        self._save(self._run.latest)
        if self._after_epoch is not None:
            self._after_epoch()

    def _next_step(self) -> str:
        epoch, step = self._state.position
        return f"epoch {epoch + 1}, step {step + 1}"

    def _evaluates(self, epoch: int) -> bool:
        epochs_done = epoch + 1
        return (
            epochs_done % self._config.eval_interval == 0 or epochs_done == self._config.max_epoch
        )

    def _out_of_patience(self) -> bool:
        if not self._config.patience or self._state.best_epoch is None:
            return False
        since_best = range(self._state.best_epoch, self._state.position.epoch)
        stale = sum(self._evaluates(epoch) for epoch in since_best)
        if stale >= self._config.patience:
            logger.info("Stopped early: no better AP in {} evaluations (`patience`)", stale)
        return stale >= self._config.patience

    def _save(self, path: Path) -> None:
        if self._check_owned is not None and is_main():
            self._check_owned()
        # At the start of an epoch, the memory of all lanes is empty.
        within = 0 < self._state.position.step < len(self._loader)
        lanes = self._lanes.saved() if self._lanes is not None and within else None
        self._state.save(path, self._experiment, self._options, lanes)

    def _stop(self, signal_number: int) -> None:
        self._save(self._run.latest)
        position = self._state.position
        if is_main():
            logger.warning(
                "Stopped by {} after epoch {}, step {}. The state was saved to {}. Run the same "
                "command with --resume to continue.",
                signal.Signals(signal_number).name,
                position.epoch + 1,
                position.step,
                self._run.latest,
            )
        raise SystemExit(exit_code(signal_number))


def _numbers(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics of a result, for the metric writers."""
    numbers = {name: value for name, value in result.items() if isinstance(value, float)}
    for other in result["beside"]:
        numbers |= {f"{other['protocol']}_{name}": value for name, value in _numbers(other).items()}
    return numbers
