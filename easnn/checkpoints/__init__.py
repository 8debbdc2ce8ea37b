"""Checkpoint files: reading, writing, loading weights and restoring the experiment."""

from easnn.checkpoints.checkpoint import Checkpoint, experiment_for
from easnn.checkpoints.format import is_own, load_checkpoint, save_checkpoint
from easnn.checkpoints.resuming import Change, changes_of, changes_table, refuse_changes
from easnn.checkpoints.weights import LoadReport, load_weights

__all__ = [
    "Change",
    "Checkpoint",
    "LoadReport",
    "changes_of",
    "changes_table",
    "experiment_for",
    "is_own",
    "load_checkpoint",
    "load_weights",
    "refuse_changes",
    "save_checkpoint",
]
