"""Which convolutions receive spikes, determined by where their input comes from.

Values alone are not enough: event counts and the output of a layer that never fires are also
integers.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from easnn.models import CarriedLIF, Clips, EventDetector, SpikingNeurons
from easnn.models.embedding import EventEmbedding


def spike_driven(model: nn.Module, events: Tensor) -> set[str]:
    """Return the names of the convolutions whose inputs are spikes, or sums or maxima of spikes.

    The network runs once on noise. The outputs of convolutions, norms and the embedding are
    replaced by random fractions, and those of neurons by random spikes. Only pooling, upsampling,
    concatenation and addition are left between these layers, so an input of only integers comes
    from neurons alone. The mean over several time steps is a fraction; that over a single one is a
    spike. A memory has random fractions as its state.

    Args:
        model: a detector in evaluation mode; it is not changed.
        events: a frame ``[1, Tl, Tm, C, H, W]``, of which only the shape is used.
    """
    random = torch.Generator(events.device).manual_seed(0)

    def noise(_layer: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return torch.rand(output.shape, generator=random, device=output.device, dtype=output.dtype)

    def spikes(_layer: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return noise(_layer, _inputs, output).round()

    def fired(_layer: nn.Module, _inputs: Any, output: tuple[Tensor, Tensor]) -> Any:
        return spikes(_layer, _inputs, output[0]), output[1]

    whole: dict[str, bool] = {}

    def look(name: str, input: Tensor) -> None:
        whole[name] = whole.get(name, True) and bool((input == input.round()).all())

    shown = torch.rand(events.shape, generator=random, device=events.device, dtype=events.dtype)
    clips = None
    if isinstance(model, EventDetector) and model.memory is not None:
        with torch.inference_mode():
            _, (a, b, c) = model(shown, clips=Clips(1))
        clips = Clips(1, (noise(model, None, a), noise(model, None, b), noise(model, None, c)))
    with ExitStack() as hooks, torch.inference_mode():
        for name, layer in model.named_modules():
            if isinstance(layer, nn.Conv2d):
                looking = layer.register_forward_pre_hook(
                    lambda _, args, name=name: look(name, args[0])
                )
                hooks.callback(looking.remove)
            if isinstance(layer, SpikingNeurons):
                hooks.callback(layer.register_forward_hook(spikes).remove)
            elif isinstance(layer, CarriedLIF):
                hooks.callback(layer.register_forward_hook(fired).remove)
            elif isinstance(layer, nn.Conv2d | nn.BatchNorm2d | EventEmbedding):
                hooks.callback(layer.register_forward_hook(noise).remove)
        model(shown, clips=clips) if clips else model(shown)
    return {name for name, only_spikes in whole.items() if only_spikes}
