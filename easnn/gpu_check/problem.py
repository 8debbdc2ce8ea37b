"""Small networks whose neurons fire without training, and frames for them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from easnn.models import DetectorConfig, EventDetector, SpikeMode, build_detector

EMBEDDINGS = ("arsnn", "rsnn", "snn", "count")
SMALL = DetectorConfig(
    num_classes=2,
    depth=0.33,
    width=0.125,
    T=2,
    use_spike=SpikeMode.BACKBONE,
    embedding="arsnn",
    embedding_ksize=3,
)
PUBLISHED = SMALL.replace(width=0.5, T=3, embedding_depth=2, embedding_ksize=5)
"""The size of `e-yolox-s`."""

SLICES = 4
BOXES = 50


@dataclass(frozen=True)
class Problem:
    """A network with frames and boxes to train it on, on the CPU.

    Attributes:
        model: the network.
        events: ``[B, 1, Tm, 2, H, W]`` counts.
        targets: ``[B, N, 5]`` (class, cx, cy, w, h in pixels), padded.
    """

    model: EventDetector
    events: Tensor
    targets: Tensor

    def on(self, device: torch.device) -> Problem:
        """Return a copy on a device; training changes neither through the other."""
        model = copy.deepcopy(self.model).to(device)
        return Problem(model, self.events.to(device), self.targets.to(device))


def make_problem(
    config: DetectorConfig = SMALL,
    *,
    frames: int = 2,
    hw: tuple[int, int] = (64, 96),
    dtype: torch.dtype = torch.float32,
    lively: bool = True,
) -> Problem:
    """Return a problem, always the same for the same arguments.

    Args:
        config: settings of the network.
        frames: number of frames B.
        hw: height and width of the frames.
        dtype: precision of the network and of its input.
        lively: whether batch norms have seen the frames, with weights that let many neurons fire.
            With new ones, hardly a spike gets past the first layers.
    """
    generator = torch.Generator().manual_seed(0)
    rates = torch.full((frames, 1, SLICES, config.in_channels, *hw), 0.8)
    events = torch.poisson(rates, generator).to(dtype)
    targets = _boxes(frames, hw, config.num_classes, generator).to(dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_detector(config).to(dtype)
        if lively:
            _enliven(model, events)
    return Problem(model.train(), events, targets)


def relative_error(found: Iterable[Tensor], expected: Iterable[Tensor]) -> float:
    """Return the L2 norm of the difference of two lists of tensors, relative to the second."""
    a = torch.cat([tensor.detach().double().cpu().flatten() for tensor in found])
    b = torch.cat([tensor.detach().double().cpu().flatten() for tensor in expected])
    return float((a - b).norm() / b.norm().clamp_min(torch.finfo(torch.double).tiny))


def _boxes(frames: int, hw: tuple[int, int], classes: int, generator: torch.Generator) -> Tensor:
    """Return ``[B, N, 5]`` with three boxes in each frame."""
    height, width = hw
    targets = torch.zeros(frames, BOXES, 5)
    shape = (frames, 3, 1)
    targets[:, :3] = torch.cat(
        (
            torch.randint(classes, shape, generator=generator).float(),
            torch.rand(shape, generator=generator) * width,
            torch.rand(shape, generator=generator) * height,
            torch.rand(shape, generator=generator) * width / 2 + 8,
            torch.rand(shape, generator=generator) * height / 2 + 8,
        ),
        dim=-1,
    )
    return targets


def _enliven(model: EventDetector, events: Tensor) -> None:
    for norm in (layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)):
        nn.init.normal_(norm.weight, 1.5, 0.2)
        nn.init.normal_(norm.bias, 0.5, 0.2)
        norm.momentum = 0.5
    with torch.no_grad():
        for _ in range(4):
            model(events, events.new_zeros(len(events), 1, 5))
