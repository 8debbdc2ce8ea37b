"""Integer neurons as binary ones: each number of spikes in slots of 0 or 1."""

from __future__ import annotations

import copy
from typing import Self

import torch
from torch import Tensor, nn

from easnn.analysis.energy import spike_driven
from easnn.models import EventDetector, IntegerLIF, SpikingNeurons
from easnn.utils.errors import ConfigError


class SlotConv2d(nn.Conv2d):
    """A convolution of numbers of spikes, as the sum over binary slots.

    A number C is the sum of the slots S_d = [d < C], d = 0, 1, …, so W·C = Σ_d W·S_d. The bias is
    added once, not once per slot.

    A neuron with D levels fills D slots at most. The maximum of numbers (pooling) is that of their
    slots. A sum of numbers (a residual) needs as many slots as its terms together.
    """

    @classmethod
    def of(cls, conv: nn.Conv2d) -> Self:
        """Return a layer with the parameters of ``conv``, which are not copied."""
        layer = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            conv.groups,
            padding_mode=conv.padding_mode,
            device="meta",
        )
        layer.weight, layer.bias = conv.weight, conv.bias
        return layer

    def forward(self, spikes: Tensor) -> Tensor:
        """Convolve ``[N, C, H, W]`` numbers of spikes; not for training."""
        slots = max(int(spikes.max()), 1)  # the others are empty
        # The sum has full precision, also in mixed precision.
        total: Tensor | float = 0.0
        for d in range(slots):
            out = self._conv_forward((spikes > d).to(spikes.dtype), self.weight, None)
            total = total + out.to(torch.promote_types(out.dtype, torch.float32))
        assert isinstance(total, Tensor)
        if self.bias is not None:
            total = total + self.bias[:, None, None]
        return total.to(out.dtype)


def binary_slots(model: EventDetector, events: Tensor) -> EventDetector:
    """Return a copy for evaluation in which every convolution sees only spikes of 0 and 1.

    The layers are those that :func:`~easnn.analysis.energy.spike_driven` finds, with those of the
    embedding, whose spikes are binary, left as they are. The results are the same, up to rounding.

    Args:
        model: a detector with integer neurons; it is not changed.
        events: a frame ``[1, Tl, Tm, C, H, W]``, of which only the shape is used.

    Raises:
        ConfigError: if its neurons are binary already, or it has none.
    """
    neurons = [layer for layer in model.modules() if isinstance(layer, SpikingNeurons)]
    if not all(isinstance(layer, IntegerLIF) for layer in neurons):
        raise ConfigError(
            "Binary slots (`--binary`) need integer neurons, but those of this network "
            "(`neuron` plif) are binary already."
        )
    if not neurons:
        raise ConfigError(
            "Binary slots (`--binary`) need integer neurons, but this network does not spike "
            "(`use_spike` False)."
        )
    expanded = copy.deepcopy(model).eval()
    for name in spike_driven(expanded, events):
        parent, _, child = name.rpartition(".")
        if not name.startswith("embedding."):
            layer = expanded.get_submodule(name)
            assert isinstance(layer, nn.Conv2d)
            setattr(expanded.get_submodule(parent), child, SlotConv2d.of(layer))
    return expanded
