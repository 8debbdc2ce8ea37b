"""What one layer of spiking neurons does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class NeuronActivity:
    """What a layer of spiking neurons did; a neuron is a channel at a position.

    Attributes:
        name: its name in the model.
        neurons: how many there are.
        channels: how many channels they have.
        rates: spikes per neuron in each time step (of the sampler: in each sampling step, newest
            slice first).
        dead: neurons that never fired in any frame.
        saturated: neurons that fired in every step of every frame.
        dead_channels: channels all of whose neurons are dead.
    """

    name: str
    neurons: int
    channels: int
    rates: tuple[float, ...]
    dead: int
    saturated: int
    dead_channels: int

    @property
    def rate(self) -> float:
        """Spikes per neuron and step."""
        return sum(self.rates) / len(self.rates)

    @property
    def updates(self) -> int:
        """Updates of a membrane for a frame, one per neuron and step."""
        return self.neurons * len(self.rates)


class SpikeCount:
    """Adds up the spikes of a layer.

    Args:
        like: spikes of the layer, ``[T, B, C, H, W]``; they are not counted.
    """

    def __init__(self, like: Tensor) -> None:
        self._by_neuron = torch.zeros(like.shape[2:], dtype=torch.int32, device=like.device)
        self._by_step = torch.zeros(len(like), dtype=torch.float64, device=like.device)

    def add(self, spikes: Tensor) -> None:
        """Add spikes ``[T, B, C, H, W]``."""
        self._by_neuron += spikes.sum(dim=(0, 1), dtype=torch.int32)
        self._by_step += spikes.sum(dim=(1, 2, 3, 4), dtype=torch.float64)

    def over(self, name: str, frames: int) -> NeuronActivity:
        """Return what the layer called ``name`` did in ``frames`` frames."""
        by_neuron, steps = self._by_neuron, len(self._by_step)
        dead = by_neuron == 0
        return NeuronActivity(
            name=name,
            neurons=by_neuron.numel(),
            channels=len(by_neuron),
            rates=tuple((self._by_step / (frames * by_neuron.numel())).tolist()),
            dead=int(dead.sum()),
            saturated=int((by_neuron == frames * steps).sum()),
            dead_channels=int(dead.all(dim=(1, 2)).sum()),
        )
