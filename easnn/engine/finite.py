"""Telling the user where a loss or gradient stopped being a number."""

from __future__ import annotations

import math

from easnn.data import DetectionBatch
from easnn.engine.config import Position
from easnn.engine.step import StepReport
from easnn.utils.distributed import gather_objects, rank
from easnn.utils.errors import TrainingError

SHOWN_SAMPLES = 8


def not_finite(report: StepReport, batch: DetectionBatch, position: Position) -> TrainingError:
    """Return the error for a step that is not sound; every process calls this and gets the same message.

    Args:
        report: The step of this process.
        batch: Its samples.
        position: Where the run stood before the step.
    """
    losses_are_finite = all(map(math.isfinite, report.losses.values()))
    reports = gather_objects((losses_are_finite, _describe(report, batch)))
    culprits = [text for finite, text in reports if not finite]
    where = f"in epoch {position.epoch + 1}, step {position.step + 1}"
    if culprits:
        return TrainingError(
            f"A loss is not finite {where}: {' | '.join(culprits)}. The weights were not changed. Lower "
            "`basic_lr_per_img`, train without --fp16, or look at these samples."
        )
    return TrainingError(
        f"The losses are finite, but the gradient is not {where}: {' | '.join(text for _, text in reports)}. The "
        "weights were not changed. It grows without bound where nothing fires: lower `thresh`, take a larger batch "
        "(-b), or begin without `write_zero`. If that is not it, lower `basic_lr_per_img`, or train without --fp16."
    )


def _describe(report: StepReport, batch: DetectionBatch) -> str:
    losses = ", ".join(f"{name} {value:.4g}" for name, value in report.losses.items())
    samples = [
        f"{name} at {time_us} µs" for name, time_us in zip(batch.sequences, batch.times_us, strict=True)
    ]
    rest = f" and {len(samples) - SHOWN_SAMPLES} more" if len(samples) > SHOWN_SAMPLES else ""
    return (
        f"process {rank()}: {losses}, gradient norm {report.grad_norm:.4g}; samples "
        f"{', '.join(samples[:SHOWN_SAMPLES])}{rest}"
    )
