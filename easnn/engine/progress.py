"""Progress of a training run: log lines, a progress bar and metric writers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Self, TypeVar

import torch
from loguru import logger
from tqdm import tqdm

from easnn.engine.state import Position
from easnn.engine.step import StepReport
from easnn.engine.train_config import TrainConfig
from easnn.engine.writers import MetricWriter, Pictures
from easnn.utils.device import peak_memory_mb
from easnn.utils.distributed import gather_objects, is_main, world_size
from easnn.utils.errors import OutputError
from easnn.utils.logging import on_terminal
from easnn.utils.meters import Stopwatch, format_duration

Item = TypeVar("Item")

MEASURED = ("samples_per_s", "data_wait_share", "memory_mb", "time")
"""Metrics that differ between equal runs: times, and what depends on the load of the machine."""


class Progress:
    """Logs losses, speed and remaining time every few steps, and shows a bar on a terminal.

    The losses are those of the current step, averaged over the processes, not over several steps.
    So a resumed run logs the same losses as an uninterrupted one.

    Args:
        config: configuration of the run.
        steps_per_epoch: steps in an epoch.
        device: device whose peak memory is shown.
        open_writers: returns the metric writers; called when the ``with`` block of this object
            begins. They are closed when it ends.
    """

    def __init__(
        self,
        config: TrainConfig,
        steps_per_epoch: int,
        device: torch.device,
        open_writers: Callable[[], Sequence[MetricWriter]],
    ) -> None:
        self._config = config
        self._steps_per_epoch = steps_per_epoch
        self._device = device
        self._open_writers = open_writers
        self._writers: Sequence[MetricWriter] = ()
        self._done_before: int | None = None
        self._evaluates = False
        self._steps_of_other_epochs = 0
        self._stopwatch = Stopwatch()
        self._samples = 0
        self._steps = 0

    def __enter__(self) -> Self:
        self._writers = self._open_writers()
        if self._done_before is not None:
            for writer in self._writers:
                writer.continue_from(self._done_before, evaluates=self._evaluates)
        return self

    def __exit__(self, error: type[BaseException] | None, *_details: object) -> None:
        # A writer that fails as well must not hide the error that ends the run.
        with suppress(OutputError) if error else nullcontext():
            for writer in self._writers:
                writer.close()

    def continue_from(self, start: Position, *, steps_of_other_epochs: int) -> None:
        """Let the writers drop everything after ``start``, because a resumed run repeats it.

        Args:
            start: where the run continues.
            steps_of_other_epochs: see :class:`~easnn.engine.state.RunState`.
        """
        self._steps_of_other_epochs = steps_of_other_epochs
        self._done_before = self._iteration(start)
        self._evaluates = start.step == self._steps_per_epoch

    def over(self, batches: Iterable[Item], start: Position) -> Iterator[Item]:
        """Yield the remaining batches of an epoch, with a progress bar; time the wait for data."""
        self._restart_window()
        bar = tqdm(
            self._stopwatch.waiting(batches, "data"),
            desc=f"epoch {start.epoch + 1}/{self._config.max_epoch}",
            initial=start.step,
            total=self._steps_per_epoch,
            unit="step",
            leave=False,
            disable=not on_terminal(),
        )
        with bar:
            yield from bar

    def step(self, done: Position, report: StepReport, lr: float, samples: int) -> None:
        """Count a step and log the progress every ``print_interval`` steps.

        Args:
            done: position of the run after the step.
            report: result of the step.
            lr: its learning rate.
            samples: number of samples of this process in the step.
        """
        self._steps += 1
        self._samples += samples
        if done.step % self._config.print_interval and done.step != self._steps_per_epoch:
            return
        losses = _mean(gather_objects(report.losses))
        if is_main():
            self._show(done, losses, report, lr)
        self._restart_window()

    def write(self, kind: str, done: Position, values: Mapping[str, float]) -> None:
        """Pass metrics to every writer."""
        for writer in self._writers:
            writer.write(kind, self._iteration(done), {"epoch": done.epoch + 1, **values})

    def write_pictures(self, done: Position, pictures: Pictures) -> None:
        """Pass pictures to every writer."""
        for writer in self._writers:
            writer.write_pictures(self._iteration(done), pictures)

    def _show(
        self, done: Position, losses: Mapping[str, float], report: StepReport, lr: float
    ) -> None:
        seconds = self._stopwatch.elapsed
        speed = self._samples * world_size() / seconds
        waiting = self._stopwatch.share("data")
        remaining = (self._config.max_epoch - done.epoch) * self._steps_per_epoch - done.step
        memory_mb = peak_memory_mb(self._device)
        logger.bind(progress=True).info(
            "epoch {}/{} step {}/{} | {} | lr {:.3g} | {:.1f} samples/s, {:.0%} waiting for data | "
            "ETA {} | {:.0f} MiB",
            done.epoch + 1,
            self._config.max_epoch,
            done.step,
            self._steps_per_epoch,
            ", ".join(f"{name} {value:.4g}" for name, value in losses.items()),
            lr,
            speed,
            waiting,
            format_duration(remaining * seconds / self._steps),
            memory_mb,
        )
        self.write(
            "train",
            done,
            {
                "step": done.step,
                **losses,
                "grad_norm": report.grad_norm,
                "lr": lr,
                "samples_per_s": speed,
                "data_wait_share": waiting,
                "memory_mb": memory_mb,
                "time": time.time(),
            },
        )

    def _iteration(self, done: Position) -> int:
        here = done.epoch * self._steps_per_epoch + done.step
        return here + self._steps_of_other_epochs

    def _restart_window(self) -> None:
        self._stopwatch.reset()
        self._samples = 0
        self._steps = 0


def _mean(losses: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each loss over the processes."""
    return {name: sum(of_rank[name] for of_rank in losses) / len(losses) for name in losses[0]}
