"""Telling the user where a loss or gradient stopped being a number."""

from __future__ import annotations

import math

from loguru import logger

from easnn.data import DetectionBatch
from easnn.engine.state import Position
from easnn.engine.step import StepReport
from easnn.utils.distributed import gather_objects, is_main, rank
from easnn.utils.errors import TrainingError

SHOWN_SAMPLES = 8

MOST_OVERFLOWS = 20
"""Steps in a row that may be left out: more than it takes to lower the scale of mixed precision to 1."""


def not_finite(report: StepReport, batch: DetectionBatch, position: Position) -> TrainingError:
    """Return the error for a step with such a loss; every process calls this and gets the same message.

    Args:
        report: The step of this process.
        batch: Its samples.
        position: Where the run stood before the step.
    """
    losses_are_finite = all(map(math.isfinite, report.losses.values()))
    reports = gather_objects((losses_are_finite, _describe(report, batch)))
    culprits = " | ".join(text for finite, text in reports if not finite)
    return TrainingError(
        f"A loss is not finite in {_step(position)}: {culprits}. The weights were not changed. "
        "Lower "
        "`basic_lr_per_img`, train without --fp16, or look at these samples."
    )


class Overflows:
    """Watches for steps whose losses are finite, but whose gradient is not: they are left out.

    It happens where all samples of a batch are silent: batch norms without variance make the
    gradient larger from layer to layer. And in mixed precision it shows that the loss is scaled up
    too much. One such step does no harm; a run that makes no other is stopped.
    """

    def __init__(self) -> None:
        self._in_a_row = 0

    def note(self, report: StepReport, batch: DetectionBatch, position: Position) -> None:
        """Take note of a step with finite losses; every process calls this with its own.

        Args:
            report: The step of this process.
            batch: Its samples.
            position: Where the run stood before the step.

        Raises:
            TrainingError: if too many steps in a row were left out.
        """
        if report.updated:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        reports = " | ".join(gather_objects(_describe(report, batch)))
        if self._in_a_row == MOST_OVERFLOWS:
            raise TrainingError(
                f"The gradient is not finite in {MOST_OVERFLOWS} steps in a row, up to "
                f"{_step(position)}: {reports}. "
                "The weights were not changed. It grows without bound where nothing fires: lower "
                "`thresh`, take a "
                "larger batch (-b), or begin without `write_zero`. If that is not it, lower "
                "`basic_lr_per_img`, or "
                "train without --fp16."
            )
        if is_main():
            logger.warning(
                "{} is left out: its gradient is not finite ({})",
                _step(position).capitalize(),
                reports,
            )


def _step(position: Position) -> str:
    return f"epoch {position.epoch + 1}, step {position.step + 1}"


def _describe(report: StepReport, batch: DetectionBatch) -> str:
    losses = ", ".join(f"{name} {value:.4g}" for name, value in report.losses.items())
    samples = [
        f"{name} at {time_us} µs"
        for name, time_us in zip(batch.sequences, batch.times_us, strict=True)
    ]
    rest = f" and {len(samples) - SHOWN_SAMPLES} more" if len(samples) > SHOWN_SAMPLES else ""
    return (
        f"process {rank()}: {losses}, gradient norm {report.grad_norm:.4g}; samples "
        f"{', '.join(samples[:SHOWN_SAMPLES])}{rest}"
    )
