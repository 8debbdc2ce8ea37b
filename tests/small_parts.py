"""A tiny sensor, recordings of it, and a detector that always finds the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from easnn.analysis import SamplerView
from easnn.events import BOX_DTYPE, pack_events, write_boxes, write_dat
from easnn.inference import Predictor
from easnn.models import DetectorConfig, SamplerTrace
from easnn.models.embedding import build_embedding
from easnn.representations import FrameSpec

SENSOR_HW = (20, 40)
INPUT_HW = (32, 64)  # 1.6 times the sensor


OBJECTS = [
    [32, 16, 16, 8, 1.0, 0.9, 0.1],
    [16, 24, 8, 16, 0.8, 0.2, 0.5],
    [48, 8, 16, 8, 0.2, 0.5, 0.1],
]


class FixedDetector(nn.Module):
    """Finds the same objects in every frame, whatever is in it.

    Args:
        objects: rows (cx, cy, w, h in network pixels, objectness, class probabilities).
        config: settings of the embedding; by default it adds up the slices.
    """

    def __init__(self, objects: list[list[float]], config: DetectorConfig | None = None) -> None:
        super().__init__()
        self.objects = nn.Parameter(torch.tensor(objects))
        self.embedding = build_embedding(config or DetectorConfig())

    def forward(self, events: Tensor) -> Tensor:
        return self.detect(self.embedding(events))

    def detect(self, frames: Tensor) -> Tensor:
        assert not self.training
        return self.objects.expand(frames.shape[-4], -1, -1)


def predictor_of(detector: nn.Module, **changes: Any) -> Predictor:
    """Return a predictor that keeps what is surer than 0.3."""
    arguments: dict[str, Any] = {"input_hw": INPUT_HW, "class_names": ("car", "pedestrian")}
    return Predictor(detector, FrameSpec(), **{**arguments, **changes})


def write_recording(
    folder: Path, name: str, *, seconds: float = 1.0, label_times_us: list[int]
) -> Path:
    """Write a recording with an event every millisecond and a labelled car at the given times."""
    t_us = np.arange(0, int(seconds * 1e6), 1000)
    events = pack_events(
        t_us, t_us // 1000 % SENSOR_HW[1], t_us // 7000 % SENSOR_HW[0], t_us // 1000 % 2
    )
    boxes = np.zeros(len(label_times_us), BOX_DTYPE)
    boxes["t_us"] = label_times_us
    boxes["x"], boxes["y"], boxes["w"], boxes["h"] = 4, 6, 10, 8
    folder.mkdir(parents=True, exist_ok=True)
    write_dat(folder / f"{name}_td.dat", events, sensor_hw=SENSOR_HW)
    write_boxes(folder / f"{name}_bbox.npy", boxes)
    return folder / f"{name}_td.dat"


def sampler_view(
    *,
    rpd: bool = True,
    active: tuple[bool, ...] = (True, True, True, True, False),
    adaptive: bool = True,
) -> SamplerView:
    """Three steps of a row of five pixels with one channel and one segment.

    Pixel 0 samples in step 0, and has 3 left later; pixel 1 in step 1 with 2, and has nothing left;
    pixel 2 in step 2 with −1; pixel 3 never, −4 is left; pixel 4, without an event, in step 0 with
    100.
    """
    spikes = torch.tensor([[1, 0, 0, 0, 1], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]).bool()
    accumulated = torch.tensor([6.0, 2.0, -1.0, -4.0, 100.0]).view(1, 1, 1, 5)
    by_spike = torch.tensor([True, True, True, False, True]).view(1, 1, 1, 5)
    written = accumulated * by_spike if rpd else accumulated
    trace = SamplerTrace(
        spikes=spikes.view(3, 1, 1, 5),
        end_step=torch.tensor([0, 1, 2, 2, 0]).view(1, 1, 1, 5),
        by_spike=by_spike,
        span_steps=torch.tensor([1, 2, 3, 3, 1]).view(1, 1, 1, 5),
        accumulated=accumulated,
        value=accumulated,
        written=written,
        surplus=torch.tensor([3.0, 0, 0, 0, 50]).view(1, 1, 5),
        output=written,
        adaptive=adaptive,
        drops_residue=rpd,
    )
    counts = np.zeros((1, 3, 2, 1, 5), np.uint8)
    bounds_us = np.array([700_000, 800_000, 900_000, 1_000_000])
    return SamplerView(
        "row", 1_000_000, counts, np.array([active]), trace, written.numpy(), bounds_us
    )
