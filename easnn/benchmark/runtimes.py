"""Runtimes of inference as further rows of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from easnn.benchmark.settings import Settings
from easnn.inference.forward import fixed_form
from easnn.inference.runtimes import build_inference
from easnn.models import EventDetector
from easnn.utils.errors import ConfigError
from easnn.utils.options import PrecisionName, RuntimeName

T = TypeVar("T")


def in_every_runtime(
    settings: Settings, build: Callable[[RuntimeName, PrecisionName], T]
) -> tuple[dict[tuple[str, PrecisionName], T], tuple[str, ...]]:
    """Build something for each runtime but ``torch``, in each precision.

    Args:
        settings: the runtimes and precisions.
        build: raises a ``ConfigError`` if this machine or the runtime cannot do it.

    Returns:
        What was built, by runtime and precision, and notes on what is left out.
    """
    built: dict[tuple[str, PrecisionName], T] = {}
    notes: list[str] = []
    for runtime in settings.runtimes:
        if runtime == "torch":
            continue
        for precision in settings.precisions:
            try:
                built[runtime, precision] = build(runtime, precision)
            except ConfigError as error:
                notes.append(f"Not measured: {error}")
    return built, tuple(dict.fromkeys(notes))


def runtime_inference(
    model: EventDetector,
    events: Tensor,
    runtime: RuntimeName,
    precision: PrecisionName,
) -> Callable[[], list[Tensor]]:
    """Return a function that computes ``events`` [B, Tl, Tm, C, h, w] in a runtime.

    As in an evaluation, each frame is computed by a single thread, several frames at once.

    Raises:
        ConfigError: if the runtime needs something that is missing, or cannot compute in this
            precision.
    """
    device = torch.device("cpu")
    inference = build_inference(runtime, model, tuple(events.shape[1:]), device, precision)

    def run() -> list[Tensor]:
        with fixed_form(device, inference.precision) as compute:
            return [outputs for outputs, _ in compute(inference.detect, events)]

    return run
