"""Loading samples, and their augmentation."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from easnn.benchmark.inputs import write_recordings
from easnn.benchmark.reference import PublishedLoader
from easnn.benchmark.reference.loading import place_batch
from easnn.benchmark.sections.section import Case, Cases, Section
from easnn.benchmark.settings import Settings, Size, size_text
from easnn.benchmark.timing import Variant
from easnn.data import (
    BatchLoader,
    DetectionBatch,
    EpochSampler,
    RequestedSamples,
    SampleRequest,
    collate,
    prepare_targets,
)
from easnn.exp import EventExp
from easnn.utils.files import temporary_folder

SECONDS, QUICK_SECONDS = 2.0, 1.0
"""Length of a recording."""


def load_cases(settings: Settings) -> Cases:
    """Yield an epoch of training samples, from the files to the network's input."""
    with temporary_folder("easnn-benchmark-") as folder:
        write_recordings(folder, seconds=QUICK_SECONDS if settings.quick else SECONDS)
        for hw in settings.sizes:
            experiment = _experiment(settings, hw, folder)
            samples = training_samples(experiment)
            for workers in settings.workers:
                yield _load_case(experiment, samples, workers, settings.batch)


def augment_cases(settings: Settings) -> Cases:
    """Yield the random placement of loaded frames in the network's input."""
    with temporary_folder("easnn-benchmark-") as folder:
        write_recordings(folder, recordings=1, seconds=QUICK_SECONDS)
        for hw in settings.sizes:
            experiment = _experiment(settings, hw, folder)
            batch = first_batch(training_samples(experiment), settings.batch)
            ours = experiment.get_prepare(training=True)
            yield Case(
                {"size": size_text(hw)},
                [
                    Variant(
                        "published", partial(_published_input, batch, experiment), settings.batch
                    ),
                    Variant("easnn", partial(ours, batch), settings.batch),
                ],
            )


def training_samples(experiment: EventExp) -> RequestedSamples:
    """Return the training samples of an experiment by request."""
    policy = experiment.get_placement_policy()
    return RequestedSamples(experiment.get_dataset(["train"]), policy, seed=0)


def first_batch(samples: RequestedSamples, size: int) -> DetectionBatch:
    """Return a batch of the first samples, from the start again if there are fewer."""
    return collate([samples[SampleRequest(0, k % len(samples))] for k in range(size)])


def loaders(
    experiment: EventExp, samples: RequestedSamples, workers: int, batch: int
) -> dict[str, Iterable[tuple[Tensor, Tensor]]]:
    """Return loaders of events and targets in the network's input by the name of their row."""

    def sampler() -> EpochSampler:
        return EpochSampler(len(samples), batch, seed=0)

    ours = BatchLoader(samples, sampler(), num_workers=workers, device=torch.device("cpu"))
    return {
        "published": PublishedLoader(
            samples,
            sampler(),
            experiment.input_size,
            experiment.dataset_kind.interpolation,
            max_boxes=experiment.max_boxes,
            num_workers=workers,
        ),
        "easnn": _Prepared(ours, experiment),
    }


class _Prepared:
    """The batches of our loader in the network's input."""

    def __init__(self, loader: BatchLoader[EpochSampler], experiment: EventExp) -> None:
        self._loader, self._prepare = loader, experiment.get_prepare(training=True)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return map(self._prepare, self._loader)


def _load_case(experiment: EventExp, samples: RequestedSamples, workers: int, batch: int) -> Case:
    count = batch * -(-len(samples) // batch)  # an epoch ends with a full batch
    by_name = loaders(experiment, samples, workers, batch)
    sent = first_batch(samples, 1).events
    hw = experiment.input_size
    theirs = 8 * sent.flatten(0, 3).shape[0] * hw[0] * hw[1]  # float64, at the network's size
    return Case(
        {"size": size_text(hw), "workers": str(workers)},
        [Variant(name, partial(_exhaust, loader), count) for name, loader in by_name.items()],
        notes=(
            f"{size_text(hw)}: a worker sends {sent.numel() * sent.element_size() / 1e6:.2f} MB "
            f"per sample, the published one {theirs / 1e6:.2f} MB.",
        ),
        close=by_name.clear,
    )


def _published_input(batch: DetectionBatch, experiment: EventExp) -> tuple[Tensor, Tensor]:
    hw = experiment.input_size
    events = place_batch(batch, hw, experiment.dataset_kind.interpolation)
    return events.float(), prepare_targets(batch, hw, max_boxes=experiment.max_boxes)


def _experiment(settings: Settings, hw: Size, folder: Path) -> EventExp:
    return settings.experiment(settings.models[0], hw, settings.spikes[0], "data_dir", str(folder))


def _exhaust(batches: Iterable[object]) -> None:
    deque(batches, maxlen=0)


LOAD = Section("load", load_cases)
AUGMENT = Section("augment", augment_cases)
