"""What an evaluator is given, and what it can do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from easnn.evaluation.result import EvaluationResult

Rows = npt.NDArray[np.floating]


@dataclass(frozen=True)
class FrameResult:
    """A labelled moment of a recording with what is there and what was detected, in sensor pixels.

    Attributes:
        frame: number of the frame in its dataset; it identifies the frame and orders all of them.
        time_us: time of the label, from the start of the recording.
        sequence: name of the recording.
        ground_truth: ``[N, 5]``: class, x, y, w, h, with the top-left corner.
        detections: ``[M, 6]``: class, score, x, y, w, h. Of equal scores the earlier row ranks
            first.
    """

    frame: int
    time_us: int
    sequence: str
    ground_truth: Rows
    detections: Rows


class Evaluator(Protocol):
    """Collects frames, in any order and in any number of portions, and scores them all together."""

    def reset(self) -> None:
        """Forget all frames."""
        ...

    def process(self, frames: Iterable[FrameResult]) -> None:
        """Add frames."""
        ...

    def evaluate(self) -> EvaluationResult:
        """Score all frames added since the last reset."""
        ...
