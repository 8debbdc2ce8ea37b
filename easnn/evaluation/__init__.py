"""Evaluation of detections by the COCO and Prophesee protocols, with a common interface."""

from easnn.evaluation.build import PROTOCOLS, build_evaluator
from easnn.evaluation.coco import CocoEvaluator
from easnn.evaluation.detection_files import refuse_unwritable, write_detections
from easnn.evaluation.frame import Evaluator, FrameResult
from easnn.evaluation.prophesee import PropheseeEvaluator
from easnn.evaluation.result import ClassResult, Counts, EvaluationResult, StratumResult
from easnn.evaluation.scored_files import GroundTruth, read_detections, read_ground_truth
from easnn.evaluation.side_by_side import KeptFrames, SideBySide
from easnn.evaluation.strata import StrataRequest

__all__ = [
    "PROTOCOLS",
    "ClassResult",
    "CocoEvaluator",
    "Counts",
    "EvaluationResult",
    "Evaluator",
    "FrameResult",
    "GroundTruth",
    "KeptFrames",
    "PropheseeEvaluator",
    "SideBySide",
    "StrataRequest",
    "StratumResult",
    "build_evaluator",
    "read_detections",
    "read_ground_truth",
    "refuse_unwritable",
    "write_detections",
]
