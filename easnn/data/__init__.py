"""Datasets, samples and batches, augmentation, loaders and caches."""

from easnn.data.augment import (
    LetterboxPolicy,
    PlacementPolicy,
    Prepare,
    prepare_batch,
    prepare_targets,
)
from easnn.data.automotive import (
    GEN1,
    GEN1_CLASSES,
    GEN1_SENSOR_HW,
    GEN4,
    GEN4_ALL,
    GEN4_CLASSES,
    GEN4_SENSOR_HW,
    IGNORED_SEQUENCES,
    AutomotiveKind,
)
from easnn.data.cache import (
    GB,
    CachedDataset,
    CacheKind,
    FrameCache,
    default_cache_dir,
    open_frame_cache,
)
from easnn.data.catalog import DATASETS, DatasetKind
from easnn.data.detection_dataset import DetectionDataset, Frame, Label
from easnn.data.label_filter import LabelFilter
from easnn.data.label_source import SPLITS, LabelSource, RecordingFiles, Split
from easnn.data.lanes import LaneSampler
from easnn.data.loader import (
    BatchLoader,
    RepeatFirstBatch,
    RequestedSamples,
    StartAt,
    TrainLoader,
    build_eval_loader,
    build_lane_loader,
    build_timeline_loader,
    build_train_loader,
    named_worker_failures,
)
from easnn.data.n_caltech import N_CALTECH_CLASSES, N_CALTECH_SENSOR_HW, NCaltechSource
from easnn.data.prophesee_layout import PropheseeSource
from easnn.data.random_placement import Distortion, Erasing, RandomPlacementPolicy, Zoom
from easnn.data.recording_dataset import RecordingDataset, RecordingSource
from easnn.data.rvt import RvtDataset, RvtSource
from easnn.data.sample import DetectionBatch, DetectionSample, collate
from easnn.data.sampler import EpochSampler, EvaluationSampler, SampleRequest, TimelineSampler
from easnn.data.timeline import UNLABELLED, Timeline

__all__ = [
    "DATASETS",
    "GB",
    "GEN1",
    "GEN1_CLASSES",
    "GEN1_SENSOR_HW",
    "GEN4",
    "GEN4_ALL",
    "GEN4_CLASSES",
    "GEN4_SENSOR_HW",
    "IGNORED_SEQUENCES",
    "N_CALTECH_CLASSES",
    "N_CALTECH_SENSOR_HW",
    "SPLITS",
    "UNLABELLED",
    "AutomotiveKind",
    "BatchLoader",
    "CacheKind",
    "CachedDataset",
    "DatasetKind",
    "DetectionBatch",
    "DetectionDataset",
    "DetectionSample",
    "Distortion",
    "EpochSampler",
    "Erasing",
    "EvaluationSampler",
    "Frame",
    "FrameCache",
    "Label",
    "LabelFilter",
    "LabelSource",
    "LaneSampler",
    "LetterboxPolicy",
    "NCaltechSource",
    "PlacementPolicy",
    "Prepare",
    "PropheseeSource",
    "RandomPlacementPolicy",
    "RecordingDataset",
    "RecordingFiles",
    "RecordingSource",
    "RepeatFirstBatch",
    "RequestedSamples",
    "RvtDataset",
    "RvtSource",
    "SampleRequest",
    "Split",
    "StartAt",
    "Timeline",
    "TimelineSampler",
    "TrainLoader",
    "Zoom",
    "build_eval_loader",
    "build_lane_loader",
    "build_timeline_loader",
    "build_train_loader",
    "collate",
    "default_cache_dir",
    "named_worker_failures",
    "open_frame_cache",
    "prepare_batch",
    "prepare_targets",
]
