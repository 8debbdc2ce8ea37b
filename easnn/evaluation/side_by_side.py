"""Evaluation by several protocols at once, or while the frames are kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from easnn.evaluation.frame import Evaluator, FrameResult
from easnn.evaluation.result import EvaluationResult


class SideBySide:
    """Scores the same frames by several protocols.

    Args:
        evaluators: the protocols. The first one gives the result; the results of the others are
            stored in its ``beside``.
    """

    def __init__(self, evaluators: Sequence[Evaluator]) -> None:
        self.evaluators = tuple(evaluators)

    def reset(self) -> None:
        """Remove all frames."""
        for evaluator in self.evaluators:
            evaluator.reset()

    def process(self, frames: Iterable[FrameResult]) -> None:
        """Add frames."""
        portion = list(frames)
        for evaluator in self.evaluators:
            evaluator.process(portion)

    def evaluate(self) -> EvaluationResult:
        """Score all frames added since the last reset.

        Raises:
            DataError: if a frame was added twice, rows do not have the right form, or a box of the
                ground truth is not finite, has a negative size or an unknown class.
        """
        first, *others = (evaluator.evaluate() for evaluator in self.evaluators)
        return replace(first, beside=tuple(others))


class KeptFrames:
    """Scores frames by another evaluator and keeps them.

    Args:
        evaluator: scores them.

    Attributes:
        frames: all frames since the last reset.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.frames: list[FrameResult] = []

    def reset(self) -> None:
        """Remove all frames."""
        self.frames = []
        self.evaluator.reset()

    def process(self, frames: Iterable[FrameResult]) -> None:
        """Add frames."""
        portion = list(frames)
        self.frames += portion
        self.evaluator.process(portion)

    def evaluate(self) -> EvaluationResult:
        """Score all frames added since the last reset; see the other evaluator."""
        return self.evaluator.evaluate()
