"""The least work of a computation, to compare its speed with what the machine can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from easnn.analysis import measure_energy
from easnn.models import EventDetector
from easnn.models.blocks import ConvUnit

TRAINING = 3.0
"""Work of a training step, in forward passes: the backward pass of a convolution is two more."""


@dataclass(frozen=True)
class Work:
    """Work for a sample.

    Attributes:
        operations: multiplications and additions of all convolutions, those of spikes too.
        values: values that have to pass the memory if each convolution unit (convolution, norm,
            activation) reads its input and weights once and writes its output once.
    """

    operations: float
    values: float

    def times(self, factor: float) -> Work:
        """Return ``factor`` times the work."""
        return Work(factor * self.operations, factor * self.values)


def detector_work(model: EventDetector, events: Tensor) -> Work:
    """Return the work of a forward pass for one sample.

    Args:
        model: the detector; it is left in evaluation mode.
        events: ``[B, Tl, Tm, C, H, W]``; the first sample is used.
    """
    sample = events[:1]
    operations = sum(2 * layer.synapses for layer in measure_energy(model, [sample]).layers)
    return Work(operations, _sampler_values(model, sample) + _unit_values(model, sample))


def sampler_work(model: EventDetector, events: Tensor) -> Work:
    """Return the work of the embedding for one sample; the arguments are as above."""
    sample = events[:1]
    layers = measure_energy(model, [sample]).layers
    operations = sum(2 * layer.synapses for layer in layers if layer.part == "embedding")
    return Work(operations, _sampler_values(model, sample))


def _sampler_values(model: EventDetector, sample: Tensor) -> int:
    """Return the number of input and output values of the embedding."""
    with torch.inference_mode():
        return sample.numel() + int(model.embedding(sample).numel())


def _unit_values(model: EventDetector, sample: Tensor) -> int:
    """Return the number of input, output and weight values of all convolution units."""
    values = 0

    def count(unit: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        nonlocal values
        weights = sum(parameter.numel() for parameter in unit.parameters())
        values += args[0].numel() + output.numel() + weights

    hooks = [
        unit.register_forward_hook(count) for unit in model.modules() if isinstance(unit, ConvUnit)
    ]
    try:
        with torch.inference_mode():
            model(sample)
    finally:
        for hook in hooks:
            hook.remove()
    return values
