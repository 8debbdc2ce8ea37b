"""The same few samples of a dataset, drawn whenever one wants to see how far a model is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from easnn.analysis.canvas import Picture
from easnn.analysis.observer import Observer
from easnn.analysis.sampler_numbers import SamplerNumbers, sampler_numbers
from easnn.analysis.sampler_sheet import sampler_sheet
from easnn.analysis.scene import scene_of
from easnn.analysis.sheet import sample_sheet
from easnn.data import DetectionDataset, RecordingDataset


@dataclass(frozen=True)
class Gallery:
    """Pictures of some samples.

    Attributes:
        pictures: sheets by name: ``detections/RECORDING_TIMEms`` and, if the embedding has a membrane,
            ``sampler/RECORDING_TIMEms``.
        sampler: what the sampler did with these samples, or None if there is none.
    """

    pictures: dict[str, Picture]
    sampler: SamplerNumbers | None


def draw_gallery(observer: Observer, dataset: DetectionDataset, samples: int = 3) -> Gallery:
    """Draw samples spread evenly over a dataset: always the same ones.

    Args:
        observer: the detector.
        dataset: where the samples come from.
        samples: how many, at most.

    Raises:
        DataError: if a recording cannot be read.
    """
    pictures: dict[str, Picture] = {}
    sampled = []
    for index in spread(len(dataset), samples):
        counts, boxes, time_us, sequence = dataset.load(index)
        name = moment_name(sequence, time_us)
        view = observer.observe(counts, sequence, time_us, boxes.numpy())
        pictures[f"detections/{name}"] = sample_sheet(view, dataset.class_names)
        bounds_us = None
        if isinstance(dataset, RecordingDataset):
            bounds_us = scene_of(dataset, sequence).slice_bounds_us(time_us)
        sampler_view = observer.observe_sampler(counts, sequence, time_us, bounds_us)
        if sampler_view is not None:
            pictures[f"sampler/{name}"] = sampler_sheet(sampler_view)
            sampled.append(sampler_view)
    return Gallery(pictures, sampler_numbers(sampled) if sampled else None)


def spread(length: int, count: int) -> list[int]:
    """Return up to ``count`` different positions in ``range(length)``, evenly spread."""
    return sorted({(2 * k + 1) * length // (2 * count) for k in range(count if length else 0)})


def moment_name(sequence: str, time_us: int) -> str:
    """Return what to call a moment of a recording in the name of a file."""
    return f"{file_name(sequence)}_{time_us // 1000}ms"


def file_name(text: str) -> str:
    """Return ``text`` without anything that could trouble a file system."""
    return re.sub(r"[^\w.-]+", "_", text)
