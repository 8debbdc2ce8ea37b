"""The interface of evaluators and their input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from easnn.evaluation.result import EvaluationResult

Rows: TypeAlias = npt.NDArray[np.floating] | Sequence[Sequence[float]]


@dataclass(frozen=True)
class FrameResult:
    """The ground truth and the detections of a labelled frame, in sensor pixels.

    Attributes:
        frame: number of the frame in its dataset; defines its identity and the order of frames.
        time_us: time of the label, from the start of the recording.
        sequence: name of the recording.
        ground_truth: ``[N, 5]``: class, left, top, width, height.
        detections: ``[M, 6]``: class, score, left, top, width, height. Of equal scores the earlier
            row ranks first.
        motion: ``[N, 3]``: how the object of each box of the ground truth moves, the fields of
            :data:`easnn.events.MOTION_DTYPE`, NaN where it is not known; None if nothing is known.
            Only strata need it.

    Rows may also be lists. Without any, an empty list or array of any shape will do.
    """

    frame: int
    time_us: int
    sequence: str
    ground_truth: Rows
    detections: Rows
    motion: Rows | None = None


class Evaluator(Protocol):
    """Collects frames, in any order and any number of calls, and scores them together."""

    def reset(self) -> None:
        """Remove all frames."""
        ...

    def process(self, frames: Iterable[FrameResult]) -> None:
        """Add frames."""
        ...

    def evaluate(self) -> EvaluationResult:
        """Score all frames added since the last reset."""
        ...
