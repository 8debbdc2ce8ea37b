"""Events, boxes and recordings to measure with, made from fixed seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from easnn.evaluation import FrameResult
from easnn.events import BOX_DTYPE, pack_events, write_boxes, write_dat
from easnn.exp import EventExp
from easnn.utils.files import make_directory
from easnn.utils.seeding import generator

SENSOR_HW = (240, 304)
"""Of Gen1."""

EVENTS_PER_S = 1_000_000
"""Of a recording: a busy scene for this sensor."""

LABELS_PER_S = 10

COUNTS_PER_PIXEL = 0.1
"""Mean of the counts in a micro slice of a network's input."""


def network_events(experiment: EventExp, batch: int) -> Tensor:
    """Return Poisson counts ``[B, Tl, Tm, C, H, W]`` for the network of an experiment."""
    spec = experiment.frame_spec()
    rates = torch.full((batch, *spec.slices, spec.channels, *experiment.input_size), 0.0)
    rng = torch.Generator().manual_seed(0)
    return torch.poisson(rates + COUNTS_PER_PIXEL, rng)


def network_targets(experiment: EventExp, batch: int, boxes: int = 10) -> Tensor:
    """Return targets ``[B, max_boxes, 5]`` with boxes inside of the network's input."""
    height, width = experiment.input_size
    rng = torch.Generator().manual_seed(1)
    targets = torch.zeros(batch, max(boxes, experiment.max_boxes), 5)
    classes = torch.randint(experiment.num_classes, (batch, boxes), generator=rng)
    scale = torch.tensor([width, height, width / 4, height / 4])
    targets[:, :boxes, 0] = classes.float()
    targets[:, :boxes, 1:] = (torch.rand(batch, boxes, 4, generator=rng) * 0.8 + 0.1) * scale
    return targets


def head_outputs(anchors: int, classes: int, hw: tuple[int, int], batch: int) -> Tensor:
    """Return decoded outputs ``[B, A, 5 + C]``, many of which are above a low confidence."""
    rng = torch.Generator().manual_seed(2)
    height, width = hw
    outputs = torch.rand(batch, anchors, 5 + classes, generator=rng)
    outputs[..., :2] *= torch.tensor([width, height])
    outputs[..., 2:4] = outputs[..., 2:4] * min(hw) / 4 + 4
    outputs[..., 4:] **= 4  # few high scores
    return outputs


def evaluated_frames(count: int, classes: int = 2, detections: int = 12) -> list[FrameResult]:
    """Return frames with up to four boxes each, and detections some of which are near them."""
    rng = generator(3, "evaluated frames")
    frames = []
    for number in range(count):
        boxes = int(rng.integers(0, 5))
        truth = np.column_stack(
            [rng.integers(0, classes, boxes), rng.uniform(0, 200, (boxes, 2)), _sides(rng, boxes)]
        )
        found = np.column_stack(
            [
                rng.integers(0, classes, detections),
                rng.random(detections),
                rng.uniform(0, 200, (detections, 2)),
                _sides(rng, detections),
            ]
        )
        found[:boxes, 0] = truth[:, 0]
        found[:boxes, 2:] = truth[:, 1:] + rng.normal(0, 4, (boxes, 4))
        frames.append(FrameResult(number, 1_000_000, "benchmark", truth, found))
    return frames


def write_recordings(root: Path, *, recordings: int = 2, seconds: float = 2.0) -> Path:
    """Write recordings in the layout of Gen1, split ``train``, and return the events of the first.

    Raises:
        OutputError: if they cannot be written.
    """
    folder = make_directory(root / "train")
    height, width = SENSOR_HW
    paths = []
    for number in range(recordings):
        rng = generator(4, "recording", number)
        count, end_us = round(EVENTS_PER_S * seconds), round(1e6 * seconds)
        events = pack_events(
            np.sort(rng.integers(0, end_us, count)),
            rng.integers(0, width, count),
            rng.integers(0, height, count),
            rng.integers(0, 2, count),
        )
        paths.append(folder / f"busy_{number:05d}_td.dat")
        write_dat(paths[-1], events, sensor_hw=SENSOR_HW)
        write_boxes(folder / f"busy_{number:05d}_bbox.npy", _boxes(end_us, rng))
    return paths[0]


def _boxes(end_us: int, rng: np.random.Generator) -> np.ndarray:
    """Return a box for each label time of a recording."""
    times_us = np.arange(end_us, 0, -(10**6 // LABELS_PER_S))[::-1]
    boxes = np.zeros(len(times_us), BOX_DTYPE)
    boxes["t_us"] = times_us
    boxes["x"], boxes["y"] = rng.uniform(0, 150, (2, len(times_us)))
    boxes["w"], boxes["h"] = rng.uniform(20, 80, (2, len(times_us)))
    boxes["class_id"] = rng.integers(0, 2, len(times_us))
    return boxes


def _sides(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.uniform(5, 150, (count, 2))
