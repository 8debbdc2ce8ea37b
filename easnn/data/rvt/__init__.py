"""Datasets that were preprocessed for RVT: histograms of 50 ms instead of events."""

from easnn.data.rvt.dataset import RvtDataset
from easnn.data.rvt.histograms import HistogramRecording
from easnn.data.rvt.source import RvtSource
from easnn.data.rvt.tree import is_preprocessed

__all__ = ["HistogramRecording", "RvtDataset", "RvtSource", "is_preprocessed"]
