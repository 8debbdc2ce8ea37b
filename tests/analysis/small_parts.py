"""A tiny sensor, recordings of it, and a detector that always finds the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from easnn.events import BOX_DTYPE, pack_events, write_boxes, write_dat

SENSOR_HW = (20, 40)
INPUT_HW = (32, 64)  # 1.6 times the sensor


class FixedDetector(nn.Module):
    """Finds the same objects in every frame, whatever is in it; its embedding adds up the slices.

    Args:
        objects: rows (cx, cy, w, h in network pixels, objectness, class probabilities).
    """

    def __init__(self, objects: list[list[float]]) -> None:
        super().__init__()
        self.objects = nn.Parameter(torch.tensor(objects))

    def embedding(self, events: Tensor) -> Tensor:
        return events.sum(dim=(1, 2))

    def forward(self, events: Tensor) -> Tensor:
        assert not self.training
        return self.objects.expand(len(events), -1, -1)


def write_recording(folder: Path, name: str, *, seconds: float = 1.0, label_times_us: list[int]) -> Path:
    """Write a recording with an event every millisecond and one labelled car at each of some times."""
    t_us = np.arange(0, int(seconds * 1e6), 1000)
    events = pack_events(t_us, t_us // 1000 % SENSOR_HW[1], t_us // 7000 % SENSOR_HW[0], t_us // 1000 % 2)
    boxes = np.zeros(len(label_times_us), BOX_DTYPE)
    boxes["t_us"] = label_times_us
    boxes["x"], boxes["y"], boxes["w"], boxes["h"] = 4, 6, 10, 8
    folder.mkdir(parents=True, exist_ok=True)
    write_dat(folder / f"{name}_td.dat", events, sensor_hw=SENSOR_HW)
    write_boxes(folder / f"{name}_bbox.npy", boxes)
    return folder / f"{name}_td.dat"
