"""Datasets that were preprocessed for RVT: histograms of 50 ms instead of events."""

from easnn.data.rvt.dataset import RvtDataset
from easnn.data.rvt.filters import RULES, RvtRules
from easnn.data.rvt.histograms import HistogramRecording
from easnn.data.rvt.jobs import plan_tasks, run_tasks
from easnn.data.rvt.preprocess import Outcome, Status, Task
from easnn.data.rvt.source import RvtSource
from easnn.data.rvt.tree import is_preprocessed

__all__ = [
    "RULES",
    "HistogramRecording",
    "Outcome",
    "RvtDataset",
    "RvtRules",
    "RvtSource",
    "Status",
    "Task",
    "is_preprocessed",
    "plan_tasks",
    "run_tasks",
]
