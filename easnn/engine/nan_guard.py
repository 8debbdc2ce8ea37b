"""Reports of losses and gradients that are not finite."""

from __future__ import annotations

import math

from loguru import logger

from easnn.data import DetectionBatch
from easnn.engine.state import Position
from easnn.engine.step import StepReport
from easnn.utils.distributed import gather_objects, is_main, rank
from easnn.utils.errors import TrainingError

SHOWN_SAMPLES = 8

MAX_OVERFLOWS = 20
"""Skipped steps in a row that stop a run: more than lowering the loss scale to 1 takes."""


def not_finite(report: StepReport, batch: DetectionBatch, position: Position) -> TrainingError:
    """Return the error for a step with a non-finite loss; all processes call this and get the same.

    Args:
        report: the step of this process.
        batch: its samples.
        position: position of the run before the step.
    """
    losses_are_finite = all(map(math.isfinite, report.losses.values()))
    reports = gather_objects((losses_are_finite, _describe(report, batch)))
    culprits = " | ".join(text for finite, text in reports if not finite)
    return TrainingError(
        f"A loss is not finite in {_step(position)}: {culprits}. The weights were not changed. "
        "Lower `basic_lr_per_img`, train without --fp16, or look at these samples."
    )


class Overflows:
    """Counts consecutive steps with finite losses but a non-finite gradient, which are skipped.

    Such steps occur if no neuron fires for any sample of a batch: batch norms without variance
    amplify the gradient from layer to layer. In mixed precision they also occur if the loss scale
    is too large. A few are harmless; many in a row stop the training.
    """

    def __init__(self) -> None:
        self._in_a_row = 0

    def check(self, report: StepReport, batch: DetectionBatch, position: Position) -> None:
        """Check the gradient of a step with finite losses; every process calls this.

        Args:
            report: the step of this process.
            batch: its samples.
            position: position of the run before the step.

        Raises:
            TrainingError: after :data:`MAX_OVERFLOWS` skipped steps in a row.
        """
        if report.updated:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        reports = " | ".join(gather_objects(_describe(report, batch)))
        if self._in_a_row == MAX_OVERFLOWS:
            raise TrainingError(
                f"The gradient is not finite in {MAX_OVERFLOWS} steps in a row, up to "
                f"{_step(position)}: {reports}. The weights were not changed. Gradients explode if "
                "no neuron fires: lower `thresh`, use a larger batch (-b), or start without "
                "`write_zero`. Otherwise lower `basic_lr_per_img`, or train without --fp16."
            )
        if is_main():
            step = _step(position).capitalize()
            logger.warning("{} is skipped: its gradient is not finite ({})", step, reports)


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
