"""Checkpoint files: reading, writing, loading weights and restoring the experiment."""

from easnn.checkpoints.checkpoint import Checkpoint, experiment_for
from easnn.checkpoints.format import load_checkpoint, save_checkpoint
from easnn.checkpoints.weights import LoadReport, load_weights

__all__ = [
    "Checkpoint",
    "LoadReport",
    "experiment_for",
    "load_checkpoint",
    "load_weights",
    "save_checkpoint",
]
