"""Training and evaluation: what drives a model over a dataset, on one process or many."""

from easnn.engine.checkpoint import is_own, load_checkpoint, own_checkpoint, save_checkpoint
from easnn.engine.config import Position, TrainConfig
from easnn.engine.ema import ModelEma
from easnn.engine.evaluate import evaluate_detector
from easnn.engine.failure import WorkerError
from easnn.engine.launch import launch
from easnn.engine.optimizer import OPTIMIZERS, build_optimizer
from easnn.engine.parts import EvalLoader, Prepare, RepeatFirstBatch, TrainLoader
from easnn.engine.run_directory import RunDirectory
from easnn.engine.schedules import SCHEDULES, Schedule, build_schedule
from easnn.engine.trainer import Trainer, TrainResult
from easnn.engine.weights import LoadReport, load_weights
from easnn.engine.writers import WRITERS, JsonLinesWriter, MetricWriter, build_writers, check_writer

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "WRITERS",
    "EvalLoader",
    "JsonLinesWriter",
    "LoadReport",
    "MetricWriter",
    "ModelEma",
    "Position",
    "Prepare",
    "RepeatFirstBatch",
    "RunDirectory",
    "Schedule",
    "TrainConfig",
    "TrainLoader",
    "TrainResult",
    "Trainer",
    "WorkerError",
    "build_optimizer",
    "build_schedule",
    "build_writers",
    "check_writer",
    "evaluate_detector",
    "is_own",
    "launch",
    "load_checkpoint",
    "load_weights",
    "own_checkpoint",
    "save_checkpoint",
]
