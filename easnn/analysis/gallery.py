"""Pictures of a few fixed samples, which show how a model improves."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from loguru import logger
from torch import nn

from easnn.analysis.canvas import Picture
from easnn.analysis.playback import playback_of
from easnn.analysis.sampler_drawing import sampler_sheet
from easnn.analysis.sampler_statistics import SamplerNumbers, sampler_numbers
from easnn.analysis.sheet import sample_sheet
from easnn.analysis.views import SamplerView, SampleView
from easnn.data import DetectionDataset, RecordingDataset
from easnn.exp import EventExp
from easnn.inference import Predictor
from easnn.utils.options import CONFIDENCE


@dataclass(frozen=True)
class Gallery:
    """Pictures of some samples.

    Attributes:
        pictures: sheets by name: ``detections/RECORDING_TIMEms`` and, if the embedding has a
            membrane, ``sampler/RECORDING_TIMEms``.
        sampler: statistics of the sampler over these samples, or None without a sampler.
    """

    pictures: dict[str, Picture]
    sampler: SamplerNumbers | None


def draw_gallery(predictor: Predictor, dataset: DetectionDataset, samples: int = 3) -> Gallery:
    """Draw samples spread evenly over a dataset, always the same ones.

    Args:
        predictor: the detector.
        dataset: where the samples come from.
        samples: maximum number of samples.

    Raises:
        DataError: if a recording cannot be read.
    """
    pictures: dict[str, Picture] = {}
    sampled = []
    for index in spread(len(dataset), samples):
        frame = dataset.load(index)
        name = moment_name(frame.sequence, frame.time_us)
        seen = predictor.observe(frame.events, trace=True)
        view = SampleView.of(
            seen, predictor.spec, frame.sequence, frame.time_us, frame.boxes.numpy()
        )
        pictures[f"detections/{name}"] = sample_sheet(view, dataset.class_names)
        bounds_us = None
        if isinstance(dataset, RecordingDataset):
            bounds_us = playback_of(dataset, frame.sequence).slice_bounds_us(frame.time_us)
        sampler = SamplerView.of(seen, predictor.spec, frame.sequence, frame.time_us, bounds_us)
        if sampler is not None:
            pictures[f"sampler/{name}"] = sampler_sheet(sampler)
            sampled.append(sampler)
    return Gallery(pictures, sampler_numbers(sampled) if sampled else None)


def evaluation_pictures(experiment: EventExp) -> Callable[[nn.Module], Mapping[str, Picture]]:
    """Return a function that draws a few samples of ``eval_split``, the same in every evaluation.

    It logs a warning if the sampler does nothing useful with them. Only the main process calls it.
    """

    @cache
    def dataset() -> DetectionDataset:
        return experiment.get_dataset([experiment.eval_split])

    def draw(model: nn.Module) -> Mapping[str, Picture]:
        gallery = draw_gallery(Predictor.of(experiment, model, confidence=CONFIDENCE), dataset())
        warning = gallery.sampler.warning() if gallery.sampler else None
        if warning:
            logger.warning(warning)
        return gallery.pictures

    return draw


def spread(length: int, count: int) -> list[int]:
    """Return up to ``count`` evenly spread, distinct positions in ``range(length)``."""
    return sorted({(2 * k + 1) * length // (2 * count) for k in range(count if length else 0)})


def moment_name(sequence: str, time_us: int) -> str:
    """Return the part of a file name that identifies a moment of a recording."""
    return f"{file_name(sequence)}_{time_us // 1000}ms"


def file_name(text: str) -> str:
    """Return ``text`` with all characters replaced that are unsafe in file names."""
    return re.sub(r"[^\w.-]+", "_", text)
