"""The experiment: keys, and builders of the parts of training and evaluation."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import torch
from torch import nn

from easnn.data import (
    DATASETS,
    GB,
    BatchLoader,
    CacheKind,
    DatasetKind,
    DetectionDataset,
    Distortion,
    Erasing,
    EvaluationSampler,
    FrameCache,
    LabelSource,
    LetterboxPolicy,
    PlacementPolicy,
    Prepare,
    RandomPlacementPolicy,
    RepeatFirstBatch,
    TimelineSampler,
    TrainLoader,
    Zoom,
    build_eval_loader,
    build_lane_loader,
    build_timeline_loader,
    build_train_loader,
    default_cache_dir,
    open_frame_cache,
    prepare_batch,
)
from easnn.data.dataset_json import read_dataset_info
from easnn.data.rvt.rvt_rules import HISTOGRAM_US
from easnn.evaluation import Evaluator, SideBySide, StrataRequest, build_evaluator
from easnn.exp.experiment import Experiment
from easnn.exp.keys import ExperimentKeys
from easnn.models import DetectorConfig, EventDetector, build_detector
from easnn.optim import Schedule, build_optimizer, build_schedule
from easnn.representations import FrameSpec
from easnn.utils.errors import ConfigError

EVENT_SUM_IGNORES = (
    "window",
    "slicing",
    "tau",
    "downsample",
    "speed_aug",
    "time_flip",
    "drop_invalid",
)
"""Keys of frames made from events, without effect with ``aggregation event_sum``."""

MEMORY_REFUSES = {
    "cuda_graphs": "whose steps are not recorded",
    "speed_aug": "which reads the windows of a recording one after another, at one speed",
}
"""Keys that must be False with a memory, each with the reason."""

CLIP_REFUSES = {
    "accumulate": "whose clips are computed at once",
    "cuda_graphs": "whose steps are not recorded",
    "speed_aug": "whose windows are played one after another",
    "time_flip": "whose windows are played one after another",
}
"""Keys that must have their default with ``clip`` above 1, each with the reason."""

_PATH_PART = re.compile(r"(?!\.{1,2}$)[^/\\\0]+")


class EventExp(Experiment, ExperimentKeys):
    """An event-camera detection experiment.

    An experiment file derives ``Exp`` from it and sets keys in ``__init__``; it may also override
    builders. Builders depend on the keys and their arguments only, so that every process of a run
    builds the same.
    """

    KEY_GROUP = "Declared by the experiment file"

    def validate(self) -> None:
        """Check that the keys fit together, without building anything or opening files.

        Raises:
            ConfigError: naming the keys that do not, and their values.
        """
        if self.exp_name is not None and _PATH_PART.fullmatch(self.exp_name) is None:
            raise ConfigError(
                "`exp_name` must be the name of one folder in `output_dir`, without slashes, but "
                f"is {self.exp_name!r}. Give the folder above it with `output_dir`."
            )
        spec = self.frame_spec()
        self.detector_config()
        self.get_schedule(batch_size=1, steps_per_epoch=1)
        if len(set(self.train_splits)) != len(self.train_splits) or not self.train_splits:
            raise ConfigError(
                "`train_splits` must name one or more splits, each once, but is "
                f"{','.join(self.train_splits) or '()'}."
            )
        for name, value in (
            ("scale_range", "scale"),
            ("zoom_in_range", "factor"),
            ("zoom_out_range", "factor"),
            ("erase_range", "share"),
            ("speed_range", "speed"),
        ):
            smallest, largest = getattr(self, name)
            if smallest > largest:
                raise ConfigError(
                    f"`{name}` must begin with the smaller {value}, but is "
                    f"{smallest:g},{largest:g}."
                )
        if self.label_filter and self.dataset_kind.label_filter is None:
            raise ConfigError(
                f"`label_filter` must be False for `data_name` {self.data_name}, whose "
                "`DatasetKind` has no filter of labels, but is True."
            )
        if self.Ts > self.Tm:
            raise ConfigError(f"`Ts` must be at most `Tm` ({self.Tm}), but is {self.Ts}.")
        if self.aggregation == "event_sum":
            self._check_event_sum()
        if self.speed_aug and self.window == 0:
            raise ConfigError(
                "`speed_aug` needs a `window` that ends at the label and can hold more or less of "
                "the recording, but `window` is 0, the whole recording."
            )
        if self.memory != "none":
            self._check_memory()
        if self.clip > 1:
            self._check_clip()
        if self.aggregation == "sum" and self.embedding != "count" and spec.Tm != 1:
            raise ConfigError(
                f"`Tm` must be 1 for `aggregation` sum, which gives one slice, but is {self.Tm}. "
                "`aggregation` micro_sum gives `Tm` slices."
            )

    def _check_memory(self) -> None:
        """Check the keys of an experiment whose network has a memory."""
        for name, reason in MEMORY_REFUSES.items():
            if getattr(self, name):
                raise ConfigError(f"`{name}` must be False for `memory` {self.memory}, {reason}.")

    def _check_clip(self) -> None:
        """Check the keys of a training on clips of consecutive windows."""
        for name, reason in CLIP_REFUSES.items():
            declared, value = self.declarations()[name], getattr(self, name)
            if value != declared.default:
                raise ConfigError(
                    f"`{name}` must be {declared.kind.text(declared.default)} for `clip` "
                    f"{self.clip}, {reason}, but is {declared.kind.text(value)}."
                )

    def _check_event_sum(self) -> None:
        """Check the keys of an experiment whose frames are precomputed histograms (RVT)."""
        for name in EVENT_SUM_IGNORES:
            declared, value = self.declarations()[name], getattr(self, name)
            if value != declared.default:
                raise ConfigError(
                    f"`{name}` must be {declared.kind.text(declared.default)} for `aggregation` "
                    "event_sum, whose frames are made from histograms of 50 ms and not from "
                    f"events, but is {declared.kind.text(value)}."
                )
        if self.embedding != "count" and self.Tl != self.Tm:
            raise ConfigError(
                f"`Tl` must be `Tm` ({self.Tm}) for `aggregation` event_sum and the embedding "
                f"`{self.embedding}`, whose sampling steps are the `Tl` histograms, but is "
                f"{self.Tl}."
            )

    def notices(self) -> list[str]:
        """Return what a user should know about the chosen values, one sentence each."""
        notices = []
        if self.abs == "split":
            notices.append("`abs` split has no effect; it had none in the published code either.")
        idle = [name for name in ("spike_attach", "write_zero") if getattr(self, name)]
        if idle and self.embedding != "arsnn":
            notices.append(
                f"`{'`, `'.join(idle)}` {'have' if len(idle) > 1 else 'has'} no effect for "
                f"`embedding` {self.embedding}, which writes no segments."
            )
        if self.aggregation == "voxel_cube":
            notices.append(
                "`aggregation` voxel_cube is as published: late OFF and early ON events share "
                "channel 1, and channel 2 is empty."
            )
        if self.eval_split in self.train_splits:
            notices.append(
                f"`eval_split` {self.eval_split} is also a training split: its AP says nothing "
                "about new data."
            )
        return notices

    def frame_spec(self) -> FrameSpec:
        """Return how events form a frame.

        Raises:
            ConfigError: if the keys do not fit together.
        """
        spec = FrameSpec.of(self)
        return spec if spec.tau is not None else spec.replace(tau=self.dataset_kind.tau_ms)

    def detector_config(self) -> DetectorConfig:
        """Return the settings of the network.

        Raises:
            ConfigError: if the keys do not fit together.
        """
        return DetectorConfig.of(self, in_channels=FrameSpec.of(self).channels)

    def get_model(self) -> EventDetector:
        """Build the network with weights initialized from torch's random generator."""
        return build_detector(self.detector_config())

    @property
    def dataset_kind(self) -> DatasetKind:
        """The kind of dataset; an experiment file overrides it to use another dataset."""
        return DATASETS[self.data_name]

    def data_root(self) -> Path:
        """Return the folder of the dataset.

        ``data_dir`` is relative to the working directory or, if it does not exist there, to the
        folder named by the environment variable ``EASNN_ROOT``.
        """
        path = Path(self.data_dir or f"datasets/{self.data_name}")
        root = os.environ.get("EASNN_ROOT")
        if path.exists() or not root or not (root / path).exists():
            return path
        return root / path

    def class_names(self) -> tuple[str, ...]:
        """Return the class names of the dataset if there are ``num_classes``, else none.

        Raises:
            DataError: if the dataset's ``dataset.json`` is damaged or says that it is not complete.
        """
        info = read_dataset_info(self.data_root())
        names = info.class_names or self.dataset_kind.class_names
        return names if len(names) == self.num_classes else ()

    def cache_root(self) -> Path:
        """Return the folder of the caches."""
        return default_cache_dir() if self.cache_dir is None else Path(self.cache_dir)

    def open_cache(self, kind: CacheKind) -> AbstractContextManager[FrameCache]:
        """Return the frame cache of a run, a context manager to be entered by every process."""
        return open_frame_cache(kind, self.cache_root(), round(self.cache_gb * GB))

    def get_source(self, splits: str | Sequence[str]) -> LabelSource:
        """Find the recordings of one or several splits, opened as the keys say.

        Raises:
            ConfigError: if a key does not fit the dataset.
            DataError: if the dataset's files are incomplete or wrong.
        """
        source = self.dataset_kind.source(self.data_root(), splits)
        return source.dropping_invalid() if self.drop_invalid else source

    def get_dataset(self, splits: Sequence[str]) -> DetectionDataset:
        """Open the labelled frames of the given splits.

        Raises:
            ConfigError: if a key has a value that this version does not support, or does not fit
                the dataset.
            DataError: if the dataset's files are incomplete or wrong.
        """
        return self._dataset_of(self.get_source(splits))

    def get_train_dataset(self) -> DetectionDataset:
        """Open the labelled frames of ``train_splits``, without what ``label_filter`` drops.

        Raises:
            ConfigError: as :meth:`get_dataset`, or if the labels have been filtered already.
            DataError: as :meth:`get_dataset`.
        """
        label_filter = self.dataset_kind.label_filter if self.label_filter else None
        if label_filter is None:
            return self.get_dataset(self.train_splits)
        return self._dataset_of(self.get_source(self.train_splits).filtering_labels(label_filter))

    def _dataset_of(self, source: LabelSource) -> DetectionDataset:
        return source.dataset(
            self.frame_spec(),
            num_classes=self.num_classes,
            downsample=self.downsample,
            cache_dir=self.cache_root(),
        )

    def get_placement_policy(self) -> PlacementPolicy:
        """Return what draws the placement of training samples in the network's input."""
        return RandomPlacementPolicy(
            self.input_size,
            self.dataset_kind.jitter if self.jitter is None else self.jitter,
            self.scale_range,
            self.flip_prob,
            Zoom(self.zoom_prob, self.zoom_in_share, self.zoom_in_range, self.zoom_out_range),
            Distortion(self.rotation, self.rotation_prob, self.shear, self.shear_prob),
            Erasing(self.erase_prob, self.erase_range),
        )

    def get_train_loader(
        self, *, batch_size: int, device: torch.device, cache: FrameCache | None = None
    ) -> TrainLoader:
        """Build this process's loader of training samples.

        Args:
            batch_size: samples per step over all processes, or per part of a step with
                ``accumulate``, or clips with ``clip``, as for the other builders.
            device: device of the batches.
            cache: cache of the frames, if any.
        """
        if self.clip > 1:
            clips = build_lane_loader(
                self._read_through(cache, self.get_dataset(self.train_splits)),
                self.get_placement_policy(),
                batch_size=batch_size,
                clip=self.clip,
                streams=round(self.stream_share * batch_size),
                seed=torch.initial_seed() if self.seed is None else self.seed,
                num_workers=self.data_num_workers,
                device=device,
            )
            return RepeatFirstBatch(clips) if self.overfit_one_batch else clips
        loader = build_train_loader(
            self._read_through(cache, self.get_train_dataset()),
            self.get_placement_policy(),
            batch_size=batch_size,
            seed=torch.initial_seed() if self.seed is None else self.seed,
            num_workers=self.data_num_workers,
            device=device,
            speed_range=self.speed_range if self.speed_aug else None,
            time_flip=self.time_flip,
            accumulate=self.accumulate,
        )
        return RepeatFirstBatch(loader) if self.overfit_one_batch else loader

    def get_eval_loader(
        self, *, batch_size: int, device: torch.device, cache: FrameCache | None = None
    ) -> BatchLoader[EvaluationSampler] | BatchLoader[TimelineSampler]:
        """Build this process's loader of the frames of ``eval_split``; arguments as in training.

        With a memory, it plays whole recordings, also the windows between the labelled frames.
        """
        build = build_eval_loader if self.memory == "none" else build_timeline_loader
        return build(
            self._read_through(cache, self.get_dataset([self.eval_split])),
            LetterboxPolicy(self.test_size),
            batch_size=batch_size,
            num_workers=self.data_num_workers,
            device=device,
        )

    def get_prepare(self, *, training: bool) -> Prepare:
        """Return the function that turns a batch into the network's input and targets."""
        size = self.input_size if training else self.test_size
        return partial(
            prepare_batch,
            out_hw=size,
            interpolation=self.dataset_kind.interpolation,
            max_boxes=self.max_boxes,
            min_visible=self.min_visible if training else 0.0,
        )

    def get_optimizer(self, model: nn.Module, *, batch_size: int) -> torch.optim.Optimizer:
        """Build the optimiser over ``model``, which is on its device."""
        return build_optimizer(
            model,
            name=self.optimizer,
            lr=self._base_lr(batch_size),
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            emb_lr=self.emb_lr,
        )

    def get_schedule(self, *, batch_size: int, steps_per_epoch: int) -> Schedule:
        """Return the learning rate as a function of the step.

        Raises:
            ConfigError: if the epochs of the schedule do not fit together.
        """
        return build_schedule(
            self.scheduler,
            self._base_lr(batch_size),
            steps_per_epoch=steps_per_epoch,
            max_epoch=self.max_epoch,
            warmup_epochs=self.warmup_epochs,
            warmup_lr=self.warmup_lr,
            min_lr_ratio=self.min_lr_ratio,
            no_aug_epochs=self.no_aug_epochs,
            milestones=self.milestones,
            pct_start=self.pct_start,
            div_factor=self.div_factor,
            final_div_factor=self.final_div_factor,
        )

    def _base_lr(self, batch_size: int) -> float:
        return self.basic_lr_per_img * (batch_size * self.accumulate)

    def protocols(self) -> list[str]:
        """Return the evaluation protocols; the AP of the first one selects the best weights."""
        first, second = ("prophesee", "coco") if self.eval_proph else ("coco", "prophesee")
        return [first, second] if self.eval_both else [first]

    def get_evaluator(self, dataset: DetectionDataset, *, strata: bool = False) -> Evaluator:
        """Build the evaluator for detections on ``dataset``, with measures of strata if asked."""
        spec = self.frame_spec()
        histograms = spec.aggregation == "event_sum"
        window_us = spec.Tl * HISTOGRAM_US if histograms else spec.duration_us
        request = StrataRequest(window_us, dataset.measures_silence) if strata else None
        evaluators = [
            build_evaluator(
                protocol,
                dataset.class_names,
                split=dataset.split,
                sensor_hw=dataset.sensor_hw,
                strata=request,
            )
            for protocol in self.protocols()
        ]
        return SideBySide(evaluators) if len(evaluators) > 1 else evaluators[0]

    def _read_through(
        self, cache: FrameCache | None, dataset: DetectionDataset
    ) -> DetectionDataset:
        return (
            dataset if cache is None else cache.cached(dataset, num_workers=self.data_num_workers)
        )
