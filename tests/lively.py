"""Detectors in which neurons fire without any training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easnn.models import DetectorConfig, EventDetector, SpikeMode, build_detector

TINY = DetectorConfig(
    num_classes=2,
    depth=0.33,
    width=0.125,
    use_spike=SpikeMode.FULL_V2,
    T=3,
    embedding="arsnn",
    embedding_depth=2,
    embedding_ksize=3,
    spike_attach=True,
)


def event_counts(*, frames: int = 1, slices: int = 3, hw: tuple[int, int] = (32, 64)) -> Tensor:
    """Return counts ``[frames, 1, slices, 2, H, W]``."""
    rates = torch.full((frames, 1, slices, 2, *hw), 0.8)
    return torch.poisson(rates, torch.Generator().manual_seed(0))


def lively_detector(config: DetectorConfig, events: Tensor) -> EventDetector:
    """Build a detector in evaluation mode whose norms have seen ``events``, in their precision.

    With new norms, hardly a spike gets past the first layers.
    """
    torch.manual_seed(0)
    model = build_detector(config).to(events.dtype)
    for norm in (layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)):
        nn.init.normal_(norm.weight, 1.5, 0.2)
        nn.init.normal_(norm.bias, 0.5, 0.2)
        norm.momentum = 0.5
    with torch.no_grad():
        for _ in range(4):
            model(events, events.new_zeros(len(events), 1, 5))
    return model.eval()
