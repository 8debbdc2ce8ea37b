"""Training and evaluation loops, in one or several processes."""

from easnn.engine.ema import ModelEma
from easnn.engine.evaluate import EvalLoader, Evaluation, evaluate, evaluation_of
from easnn.engine.freezing import freeze_parts
from easnn.engine.interrupt import SIGNALS, StopSignals
from easnn.engine.launch import launch
from easnn.engine.progress import MEASURED
from easnn.engine.remote_error import WorkerError
from easnn.engine.run_directory import CHECKPOINTS, RunDirectory
from easnn.engine.run_owner import RunOwner
from easnn.engine.state import Position
from easnn.engine.train_config import TrainConfig
from easnn.engine.trainer import Trainer, TrainResult
from easnn.engine.writers import JsonLinesWriter, MetricWriter, build_writers, check_writer

__all__ = [
    "CHECKPOINTS",
    "MEASURED",
    "SIGNALS",
    "EvalLoader",
    "Evaluation",
    "JsonLinesWriter",
    "MetricWriter",
    "ModelEma",
    "Position",
    "RunDirectory",
    "RunOwner",
    "StopSignals",
    "TrainConfig",
    "TrainResult",
    "Trainer",
    "WorkerError",
    "build_writers",
    "check_writer",
    "evaluate",
    "evaluation_of",
    "freeze_parts",
    "launch",
]
