"""Evaluation of detections by the COCO and Prophesee protocols, with a common interface."""

from easnn.evaluation.build import PROTOCOLS, build_evaluator
from easnn.evaluation.coco import CocoEvaluator
from easnn.evaluation.frame import Evaluator, FrameResult
from easnn.evaluation.prophesee import PropheseeEvaluator
from easnn.evaluation.result import ClassResult, Counts, EvaluationResult, StratumResult
from easnn.evaluation.side_by_side import SideBySide
from easnn.evaluation.strata import StrataRequest

__all__ = [
    "PROTOCOLS",
    "ClassResult",
    "CocoEvaluator",
    "Counts",
    "EvaluationResult",
    "Evaluator",
    "FrameResult",
    "PropheseeEvaluator",
    "SideBySide",
    "StrataRequest",
    "StratumResult",
    "build_evaluator",
]
