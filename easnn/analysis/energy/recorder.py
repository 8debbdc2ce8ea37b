"""Watching a detector while it works."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

import torch
from torch import Tensor, nn

from easnn.analysis.energy.firing import NeuronActivity, SpikeCount
from easnn.analysis.energy.operations import LayerOperations, OperationCount
from easnn.models import ParametricLIF
from easnn.models.embedding.packed import unpack
from easnn.models.embedding.recurrence import GatedRecurrence, LeakyRecurrence, SamplingStep
from easnn.utils.errors import ConfigError


class OperationRecorder:
    """Counts the operations of convolutions and the spikes of neurons while its ``with`` block is entered.

    Args:
        model: a detector; hooks hang on it as long as the block lasts.
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
        self._hooks = ExitStack()

    def __enter__(self) -> Self:
        def attach(name: str, layer: nn.Module) -> None:
            match layer:
                case nn.Conv2d():
                    hook = layer.register_forward_hook(
                        lambda conv, args, output: self._convolved(name, conv, args[0], output)
                    )
                case ParametricLIF():
                    hook = layer.register_forward_hook(
                        lambda neurons, _, output: self._fired(
                            name, output.unflatten(0, (neurons.T, -1))
                        )
                    )
                case GatedRecurrence() | LeakyRecurrence():
                    hook = layer.register_forward_hook(
                        lambda _, __, steps: self._fired(name, _sampler_spikes(steps))
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
        """Return what each convolution did, in the order in which they ran first."""
        return [count.per_frame(name, self.frames) for name, count in self._operations.items()]

    def neurons(self) -> list[NeuronActivity]:
        """Return what each layer of neurons did, in the order in which they ran first."""
        return [count.over(name, self.frames) for name, count in self._spikes.items()]

    def _begin(self, _model: nn.Module, args: tuple[Tensor]) -> None:
        self.frames += len(args[0])

    def _convolved(self, name: str, conv: nn.Conv2d, input: Tensor, output: Tensor) -> None:
        if name not in self._operations:
            self._operations[name] = OperationCount(conv, spikes=name in self._spike_driven)
        self._operations[name].add(input, output)

    def _fired(self, name: str, spikes: Tensor) -> None:
        if name not in self._spikes:
            self._spikes[name] = SpikeCount(spikes)
        self._spikes[name].add(spikes)


def check_countable(model: nn.Module) -> None:
    """Refuse a model with layers whose operations a recording would miss.

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
            "The operations of a network are counted if its weights belong to convolutions "
            "(`Conv2d`) with "
            f"numbers of zeros for padding, but these do not: {', '.join(missed)}."
        )


def _zero_padded(conv: nn.Conv2d) -> bool:
    return conv.padding_mode == "zeros" and not isinstance(conv.padding, str)


def _sampler_spikes(steps: list[SamplingStep]) -> Tensor:
    return torch.stack([unpack(step.spikes) for step in steps])
