"""Datasets that were preprocessed for RVT: histograms of 50 ms instead of events."""

from easnn.data.rvt.histogram_file import HistogramFile
from easnn.data.rvt.preprocess_dataset import plan_tasks, run_tasks
from easnn.data.rvt.preprocess_recording import Outcome, Status, Task
from easnn.data.rvt.rvt_dataset import RvtDataset, RvtSource
from easnn.data.rvt.rvt_files import is_preprocessed
from easnn.data.rvt.rvt_rules import RULES, RvtRules

__all__ = [
    "RULES",
    "HistogramFile",
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
