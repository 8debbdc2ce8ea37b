"""Datasets, samples and batches, the placement of frames and boxes, and loaders."""

from easnn.data.augment import LetterboxPolicy, PlacementPolicy, RandomPlacementPolicy, prepare_batch
from easnn.data.catalog import DATASETS, DatasetOptions, build_dataset
from easnn.data.dataset import DetectionDataset, Frame
from easnn.data.frame import FrameSpec
from easnn.data.gen1 import GEN1_CLASSES, GEN1_SENSOR_HW, IGNORED_SEQUENCES, Gen1Dataset
from easnn.data.loader import (
    BatchLoader,
    RequestedSamples,
    build_eval_loader,
    build_train_loader,
    named_worker_failures,
)
from easnn.data.sample import DetectionBatch, DetectionSample, collate
from easnn.data.sampler import EpochSampler, EvaluationSampler, SampleRequest

__all__ = [
    "DATASETS",
    "GEN1_CLASSES",
    "GEN1_SENSOR_HW",
    "IGNORED_SEQUENCES",
    "BatchLoader",
    "DatasetOptions",
    "DetectionBatch",
    "DetectionDataset",
    "DetectionSample",
    "EpochSampler",
    "EvaluationSampler",
    "Frame",
    "FrameSpec",
    "Gen1Dataset",
    "LetterboxPolicy",
    "PlacementPolicy",
    "RandomPlacementPolicy",
    "RequestedSamples",
    "SampleRequest",
    "build_dataset",
    "build_eval_loader",
    "build_train_loader",
    "collate",
    "named_worker_failures",
    "prepare_batch",
]
