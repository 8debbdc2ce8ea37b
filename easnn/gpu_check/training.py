"""Does training work as it should on the device?"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from easnn.data import DetectionBatch, prepare_batch
from easnn.engine import ModelEma
from easnn.engine.step import TrainingStep
from easnn.gpu_check.outcome import Outcome, Setting
from easnn.gpu_check.problem import Problem, make_problem
from easnn.ops import Placement
from easnn.optim import build_optimizer
from easnn.utils.device import synchronize
from easnn.utils.precision import Precision, mixed_precision

WAITING = "called a synchronizing CUDA operation"
"""In the warning of torch for an operation for which the host waits."""

EXPECTED_WAITS = {
    ("step.py", False): 1,  # the report
    ("step.py", True): 1,
    ("grad_scaler.py", True): 1,  # whether to skip the step; directly after the report
}
"""Waits of a step by the file that calls the operation, and whether precision is mixed."""


def check_mixed_precision(setting: Setting) -> Outcome:
    """Train on one batch in mixed precision: numbers stay finite and the loss falls."""
    steps = 24 if setting.quick else 40
    problem = make_problem(lively=False).on(setting.device)
    precision = Precision(setting.device, mixed_precision(setting.device))
    step = _step_of(problem, precision)
    reports = [step(problem.events, problem.targets) for _ in range(steps)]
    losses = [report.losses["total_loss"] for report in reports]
    skipped = sum(not report.updated for report in reports)
    finite = all(map(math.isfinite, losses)) and skipped <= steps // 4
    window = max(1, steps // 4)
    first, last = sum(losses[:window]) / window, sum(losses[-window:]) / window
    return Outcome(
        finite and last < 0.95 * first,
        f"loss {first:.2f} → {last:.2f} in {steps} steps, {skipped} skipped (must fall by 5 %)",
        {
            "first loss": first,
            "last loss": last,
            "skipped steps": skipped,
            "loss scale": precision.scaler.get_scale(),
        },
    )


def check_waits(setting: Setting) -> Outcome:
    """Check that the host waits for the GPU once in a step: for its report.

    The step begins with a batch on the host, so that its transfer and resizing count, too.
    """
    if not setting.on_gpu:
        return Outcome.not_here("only a GPU makes its host wait")
    unexpected: list[str] = []
    for name in setting.precisions:
        problem = make_problem().on(setting.device)
        step = _step_of(problem, Precision(setting.device, name))
        average = ModelEma(problem.model)
        batch = host_batch(problem).pin_memory()

        def whole_step(
            step: TrainingStep = step,
            average: ModelEma = average,
            problem: Problem = problem,
            batch: DetectionBatch = batch,
        ) -> None:
            step(*prepare_batch(batch.to(setting.device), (64, 96)))
            average.update(problem.model)

        for _ in range(3):  # compiles kernels and fills the caches of the allocator
            whole_step()
        synchronize(setting.device)
        with _waits_as_warnings() as caught:
            whole_step()
        unexpected += unexpected_waits(caught, mixed=name != "exact")
    return Outcome(
        not unexpected,
        "; ".join(unexpected) or "the host waits for the report of a step only",
        {"unexpected waits": len(unexpected)},
    )


def unexpected_waits(caught: Sequence[warnings.WarningMessage], *, mixed: bool) -> list[str]:
    """Return the places where the host waits although it should not, with how often.

    Args:
        caught: the warnings of a step.
        mixed: whether its precision is mixed.
    """
    places = Counter(
        (warning.filename, warning.lineno) for warning in caught if WAITING in str(warning.message)
    )
    allowed = {name: count for (name, kind), count in EXPECTED_WAITS.items() if kind == mixed}
    surplus = []
    for (file, line), count in places.items():
        left = allowed.get(Path(file).name, 0)
        allowed[Path(file).name] = max(0, left - count)
        if count > left:
            surplus.append(f"{Path(file).name}:{line} waits {count - left} times")
    return surplus


def host_batch(problem: Problem) -> DetectionBatch:
    """Return the frames and boxes of a problem as the loader would send them, in small integers."""
    events = problem.events.to(torch.uint8).cpu()
    count, (height, width) = len(events), events.shape[-2:]
    placement = Placement(height_px=height - 4, width_px=width - 2, top_px=1, left_px=1, flip=True)
    boxes = torch.tensor([[0.0, 8.0, 8.0, 30.0, 20.0], [1.0, 40.0, 20.0, 16.0, 24.0]])
    return DetectionBatch(
        events=events,
        boxes=boxes.expand(count, -1, -1).contiguous(),
        placements=(placement,) * count,
        indices=tuple(range(count)),
        times_us=(0,) * count,
        sequences=("check",) * count,
    )


def _step_of(problem: Problem, precision: Precision) -> TrainingStep:
    model = problem.model.train()
    return TrainingStep(model, build_optimizer(model, name="ADAM", lr=2e-3), precision)


@contextmanager
def _waits_as_warnings() -> Iterator[list[warnings.WarningMessage]]:
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield caught
    finally:
        torch.cuda.set_sync_debug_mode(before)
