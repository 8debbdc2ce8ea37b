"""Recording the operations and spikes of a running detector."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from easnn.analysis.energy.operations import LayerOperations, OperationCount
from easnn.models import CarriedLIF, SpikingNeurons
from easnn.models.embedding.packed import unpack
from easnn.models.embedding.recurrence import (
    GatedRecurrence,
    LeakyNeurons,
    LeakyRecurrence,
    SamplingStep,
)
from easnn.utils.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class NeuronActivity:
    """Spikes of a layer of neurons; a neuron is a channel at a position.

    Attributes:
        name: its name in the model.
        neurons: number of neurons.
        channels: number of channels.
        levels: most spikes of a neuron in a step: 1, or D of integer neurons.
        rates: spikes per neuron in each time step; for the sampler in each sampling step, newest
            slice first.
        dead: neurons that fired in no frame.
        saturated: neurons that fired as often as they can in every step of every frame.
        dead_channels: channels in which all neurons are dead.
    """

    name: str
    neurons: int
    channels: int
    levels: int
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
        """Membrane updates for a frame, one per neuron and step."""
        return self.neurons * len(self.rates)


class SpikeCount:
    """Accumulates the spikes of a layer.

    Args:
        like: spikes of the layer, ``[T, B, C, H, W]``, used for the shape only.
        levels: most spikes of a neuron in a step.
    """

    def __init__(self, like: Tensor, levels: int) -> None:
        self._levels = levels
        self._by_neuron = torch.zeros(like.shape[2:], dtype=torch.int32, device=like.device)
        self._by_step = torch.zeros(len(like), dtype=torch.float64, device=like.device)

    def add(self, spikes: Tensor) -> None:
        """Add spikes ``[T, B, C, H, W]``."""
        self._by_neuron += spikes.sum(dim=(0, 1), dtype=torch.int32)
        self._by_step += spikes.sum(dim=(1, 2, 3, 4), dtype=torch.float64)

    def over(self, name: str, frames: int) -> NeuronActivity:
        """Return the activity of the layer ``name`` over ``frames`` frames."""
        by_neuron, steps = self._by_neuron, len(self._by_step)
        dead = by_neuron == 0
        return NeuronActivity(
            name=name,
            neurons=by_neuron.numel(),
            channels=len(by_neuron),
            levels=self._levels,
            rates=tuple((self._by_step / (frames * by_neuron.numel())).tolist()),
            dead=int(dead.sum()),
            saturated=int((by_neuron == frames * steps * self._levels).sum()),
            dead_channels=int(dead.all(dim=(1, 2)).sum()),
        )


class OperationRecorder:
    """Counts operations of convolutions and spikes of neurons inside a ``with`` block.

    Args:
        model: a detector; it has hooks while the block is active.
        spike_driven: names of the convolutions that receive spikes, see
            :func:`~easnn.analysis.energy.provenance.spike_driven`.

    Raises:
        ConfigError: if the model has layers whose operations cannot be counted.
    """

    def __init__(self, model: nn.Module, spike_driven: set[str]) -> None:
        check_countable(model)
        self.frames = 0
        self._model = model
        self._spike_driven = spike_driven
        self._operations: dict[str, OperationCount] = {}
        self._spikes: dict[str, SpikeCount] = {}
        self._hidden: dict[str, list[Tensor]] = {}  # steps of the window that is being computed
        self._hooks = ExitStack()

    def __enter__(self) -> Self:
        def attach(name: str, layer: nn.Module) -> None:
            match layer:
                case nn.Conv2d():
                    hook = layer.register_forward_hook(
                        lambda conv, args, output: self._convolved(name, conv, args[0], output)
                    )
                case SpikingNeurons():
                    hook = layer.register_forward_hook(
                        lambda neurons, _, output: self._fired(
                            name, output.unflatten(0, (neurons.T, -1)), neurons.levels
                        )
                    )
                case CarriedLIF():
                    hook = layer.register_forward_hook(
                        lambda _, __, output: self._fired(name, output[0][None])
                    )
                case GatedRecurrence() | LeakyRecurrence():
                    hook = layer.register_forward_hook(
                        lambda _, __, steps: self._sampled(name, steps)
                    )
                case LeakyNeurons():
                    hook = layer.register_forward_hook(
                        lambda _, __, output: self._hidden.setdefault(name, []).append(output[0])
                    )
                case _:
                    return
            self._hooks.callback(hook.remove)

        self._hooks.callback(self._model.register_forward_pre_hook(self._begin).remove)
        for name, layer in self._model.named_modules():
            attach(name, layer)
        return self

    def __exit__(self, *_error: object) -> None:
        self._hooks.close()

    def layers(self) -> list[LayerOperations]:
        """Return the operations of each convolution, in order of their first run."""
        return [count.per_frame(name, self.frames) for name, count in self._operations.items()]

    def neurons(self) -> list[NeuronActivity]:
        """Return the activity of each layer of neurons, in order of their first run."""
        return [count.over(name, self.frames) for name, count in self._spikes.items()]

    def _begin(self, _model: nn.Module, args: tuple[Tensor]) -> None:
        self.frames += len(args[0])

    def _convolved(self, name: str, conv: nn.Conv2d, input: Tensor, output: Tensor) -> None:
        if name not in self._operations:
            self._operations[name] = OperationCount(conv, spikes=name in self._spike_driven)
        self._operations[name].add(input, output)

    def _sampled(self, name: str, steps: list[SamplingStep]) -> None:
        """Count the spikes of a sampler: its membrane's, and those of neurons in its branches."""
        self._fired(name, _by_step([step.spikes for step in steps]))
        for hidden, spikes in self._hidden.items():
            self._fired(hidden, _by_step(spikes))
        self._hidden.clear()

    def _fired(self, name: str, spikes: Tensor, levels: int = 1) -> None:
        if name not in self._spikes:
            self._spikes[name] = SpikeCount(spikes, levels)
        self._spikes[name].add(spikes)


def check_countable(model: nn.Module) -> None:
    """Check that the model has no layers whose operations would be missed.

    Raises:
        ConfigError: if it has weights that do not belong to convolutions of zero-padded images.
    """
    missed = [
        f"{name} ({type(layer).__name__})"
        for name, layer in model.named_modules()
        if any(parameter.dim() > 1 for parameter in layer.parameters(recurse=False))
        and not (isinstance(layer, nn.Conv2d) and _zero_padded(layer))
    ]
    if missed:
        raise ConfigError(
            "Operations can only be counted for `Conv2d` layers with zero padding given in pixels, "
            f"but the network also has {', '.join(missed)}."
        )


def _zero_padded(conv: nn.Conv2d) -> bool:
    return conv.padding_mode == "zeros" and not isinstance(conv.padding, str)


def _by_step(spikes: list[Tensor]) -> Tensor:
    """Return packed spikes of each step as ``[S, B, C, H, W]``; one image may stand for all."""
    return torch.stack([unpack(step.expand_as(spikes[-1])) for step in spikes])
