"""Datasets, samples and batches, the placement of frames and boxes, and loaders."""

from easnn.data.augment import LetterboxPolicy, PlacementPolicy, Prepare, RandomPlacementPolicy, prepare_batch
from easnn.data.automotive import (
    GEN1,
    GEN1_CLASSES,
    GEN1_SENSOR_HW,
    GEN4,
    GEN4_CLASSES,
    GEN4_SENSOR_HW,
    IGNORED_SEQUENCES,
    AutomotiveKind,
)
from easnn.data.cache import GB, CachedDataset, CacheKind, FrameCache, default_cache_dir, open_frame_cache
from easnn.data.catalog import DATASETS, DatasetKind
from easnn.data.dataset import CacheableDataset, DetectionDataset, Frame, Label
from easnn.data.layout import SPLITS, LabelledRecording, Split
from easnn.data.loader import (
    BatchLoader,
    RepeatFirstBatch,
    RequestedSamples,
    TrainLoader,
    build_eval_loader,
    build_train_loader,
    named_worker_failures,
)
from easnn.data.n_caltech import N_CALTECH_CLASSES, N_CALTECH_SENSOR_HW, NCaltechDataset
from easnn.data.options import DatasetOptions
from easnn.data.raw import RawDataset
from easnn.data.recording_dataset import RecordingDataset
from easnn.data.rvt import RvtDataset, RvtSource
from easnn.data.sample import DetectionBatch, DetectionSample, collate
from easnn.data.sampler import EpochSampler, EvaluationSampler, SampleRequest
from easnn.data.source import LabelSource, RecordingSource

__all__ = [
    "DATASETS",
    "GB",
    "GEN1",
    "GEN1_CLASSES",
    "GEN1_SENSOR_HW",
    "GEN4",
    "GEN4_CLASSES",
    "GEN4_SENSOR_HW",
    "IGNORED_SEQUENCES",
    "N_CALTECH_CLASSES",
    "N_CALTECH_SENSOR_HW",
    "SPLITS",
    "AutomotiveKind",
    "BatchLoader",
    "CacheKind",
    "CacheableDataset",
    "CachedDataset",
    "DatasetKind",
    "DatasetOptions",
    "DetectionBatch",
    "DetectionDataset",
    "DetectionSample",
    "EpochSampler",
    "EvaluationSampler",
    "Frame",
    "FrameCache",
    "Label",
    "LabelSource",
    "LabelledRecording",
    "LetterboxPolicy",
    "NCaltechDataset",
    "PlacementPolicy",
    "Prepare",
    "RandomPlacementPolicy",
    "RawDataset",
    "RecordingDataset",
    "RecordingSource",
    "RepeatFirstBatch",
    "RequestedSamples",
    "RvtDataset",
    "RvtSource",
    "SampleRequest",
    "Split",
    "TrainLoader",
    "build_eval_loader",
    "build_train_loader",
    "collate",
    "default_cache_dir",
    "named_worker_failures",
    "open_frame_cache",
    "prepare_batch",
]
