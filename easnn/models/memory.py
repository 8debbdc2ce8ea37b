"""Memory between the feature pyramid and the head, carried from window to window of a recording.

A cell per feature map remembers what its windows showed. Its state is a value that goes in and
comes out: nothing is kept in a module. Embedding, backbone and pyramid look at each window on its
own, so they see clips folded into the batch, and only the cells go through them window by window.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from easnn.models.blocks import ConvUnit, UnitSpec
from easnn.models.config import DetectorConfig
from easnn.models.neck import Features
from easnn.models.neurons import build_surrogate

MemoryState = tuple[Tensor, Tensor, Tensor]
"""The state of the cells of each feature map after a window, ``[B, S, h, w]``: S is twice
``memory_dim`` for ``lstm`` (first h, then c) and ``memory_dim`` for ``spiking`` (membranes)."""

FORGET_BIAS = 1.0
"""Initial bias of the forget gates (Jozefowicz et al., "An Empirical Exploration of Recurrent
Network Architectures", ICML 2015): an untrained cell keeps most of its content."""

SHORTEST_TAU, LONGEST_TAU = 2.0, 16.0
"""Initial time constants of spiking memory in windows, spread evenly in their logarithm."""


@dataclass(frozen=True)
class Clips:
    """How a batch of N = B·L windows divides into B clips of L consecutive windows each.

    The windows are ordered by clip, then by time.

    Attributes:
        count: number of clips B.
        state: the state before the first window of each clip; None: empty.
        begins: ``[B, L]`` bool, the windows with which a recording begins: the state before them is
            empty. None: no window does.
        labelled: ``[K]`` int64, the windows of the batch, at least one, that the head is asked
            about, in order; None: all.
        weight: factor of the losses. A process without a labelled window asks about any one, with
            targets of zeros and weight 0: then all processes have gradients of the same parameters.
    """

    count: int
    state: MemoryState | None = None
    begins: Tensor | None = None
    labelled: Tensor | None = None
    weight: float = 1.0


class MemoryCell(nn.Module, ABC):
    """The state of one feature map, and what it puts out.

    Attributes:
        state_channels: channels of the state.
    """

    state_channels: int

    @abstractmethod
    def currents(self, features: Tensor) -> Tensor:
        """Return what windows put in, for features ``[N, C, h, w]`` of any windows."""

    @abstractmethod
    def step(self, current: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Compute one window.

        Args:
            current: of B windows, from :meth:`currents`.
            state: ``[B, S, h, w]``.

        Returns:
            The output ``[B, memory_dim, h, w]``, and the next state.
        """


class PeepholeLSTM(MemoryCell):
    """A convolutional LSTM with peepholes (Shi et al., NeurIPS 2015) on projected features.

    ::

        x = D*E                                         D 1×1
        i = σ(Wxi*x + Whi*h + bi + pi⊙c)                f the same; pi, pf, po per channel, start 0
        c' = f⊙c + i⊙tanh(Wxc*x + Whc*h + bc)
        o = σ(Wxo*x + Who*h + bo + po⊙c')
        h' = o⊙tanh(c')                                 the output

    The channels of the gates are in the order i, f, c, o; those of the peepholes i, f, o.

    Args:
        channels: channels C of the features.
        config: ``memory_dim``, and ``memory_kernel`` of the gates.
    """

    def __init__(self, channels: int, config: DetectorConfig) -> None:
        super().__init__()
        dim, kernel = config.memory_dim, config.memory_kernel
        self.state_channels = 2 * dim
        self.down = nn.Conv2d(channels, dim, 1, bias=False)
        self.input_gates = nn.Conv2d(dim, 4 * dim, kernel, padding=kernel // 2)
        self.state_gates = nn.Conv2d(dim, 4 * dim, kernel, padding=kernel // 2, bias=False)
        self.peepholes = nn.Parameter(torch.zeros(3 * dim))
        assert self.input_gates.bias is not None
        with torch.no_grad():
            self.input_gates.bias[dim : 2 * dim] = FORGET_BIAS

    def currents(self, features: Tensor) -> Tensor:
        """Return the inputs of the gates ``[N, 4·memory_dim, h, w]``."""
        gates: Tensor = self.input_gates(self.down(features))
        return gates

    def step(self, current: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Compute one window; see :class:`MemoryCell`."""
        h, c = state.chunk(2, dim=1)  # each [B, M, h, w]
        to_i, to_f, to_c, to_o = (current + self.state_gates(h)).chunk(4, dim=1)
        p_i, p_f, p_o = self.peepholes.view(3, -1, 1, 1)
        c = (to_f + p_f * c).sigmoid() * c + (to_i + p_i * c).sigmoid() * to_c.tanh()
        h = (to_o + p_o * c).sigmoid() * c.tanh()
        return h, torch.cat((h, c), dim=1)


class CarriedLIF(nn.Module):
    """Leaky integrate-and-fire neurons whose membrane is not reset between windows.

    For each window::

        H = V − V/τ + X         1/τ = sigmoid(w), w learned for each channel
        S = 1 where H ≥ 1       in the backward pass: the derivative of the surrogate
        V = H − S               soft reset, through which the gradient flows, too

    Args:
        config: ``memory_dim`` channels, and the surrogate gradient (``spike_fn``, ``alpha``).
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        tau = torch.logspace(math.log2(SHORTEST_TAU), math.log2(LONGEST_TAU), config.memory_dim, 2)
        self.w = nn.Parameter(-(tau - 1).log())
        self.surrogate = build_surrogate(config.spike_fn, config.alpha)

    def forward(self, current: Tensor, membrane: Tensor) -> tuple[Tensor, Tensor]:
        """Return spikes S and membranes V for currents X, each ``[B, memory_dim, h, w]``."""
        charged = membrane - membrane * self.w.sigmoid().view(-1, 1, 1) + current
        spikes: Tensor = self.surrogate(charged - 1)
        return spikes, charged - spikes


class SpikingMemory(MemoryCell):
    """Membranes that are charged by projected, normalised features, and put out spikes.

    Args:
        channels: channels of the features.
        config: ``memory_dim``, ``memory_kernel`` of the projection, and the surrogate gradient.
    """

    def __init__(self, channels: int, config: DetectorConfig) -> None:
        super().__init__()
        self.state_channels = config.memory_dim
        analog = UnitSpec(nn.Identity)
        self.down = ConvUnit(channels, config.memory_dim, config.memory_kernel, analog)
        self.neurons = CarriedLIF(config)

    def currents(self, features: Tensor) -> Tensor:
        """Return the currents ``[N, memory_dim, h, w]``."""
        current: Tensor = self.down(features)
        return current

    def step(self, current: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Compute one window; see :class:`MemoryCell`."""
        spikes, membrane = self.neurons(current, state)
        return spikes, membrane


class MemoryLevel(nn.Module):
    """The memory of one feature map: Ẽ = E + α·(P*output), P 1×1, α learned, 0 at the start.

    Args:
        channels: channels of the features.
        config: kind of the cell, and its settings.
    """

    def __init__(self, channels: int, config: DetectorConfig) -> None:
        super().__init__()
        cell = PeepholeLSTM if config.memory == "lstm" else SpikingMemory
        self.cell: MemoryCell = cell(channels, config)
        self.up = nn.Conv2d(config.memory_dim, channels, 1, bias=False)
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(
        self, features: Tensor, state: Tensor | None, clips: Clips
    ) -> tuple[Tensor, Tensor]:
        """Add what is remembered.

        Args:
            features: ``[N, C, h, w]``.
            state: before the first window of each clip, ``[B, S, h, w]``; None: empty.
            clips: how the windows divide into clips.

        Returns:
            Features ``[K, C, h, w]`` of the labelled windows, of the same type, and the state after
            the last window of each clip.
        """
        wide = torch.promote_types(features.dtype, torch.float32)
        with torch.autocast(features.device.type, enabled=False):
            currents = self.cell.currents(features.to(wide))
            currents = currents.view(clips.count, -1, *currents.shape[1:])  # [B, L, …, h, w]
            if state is None:
                shape = clips.count, self.cell.state_channels, *features.shape[-2:]
                state = currents.new_zeros(shape)
            outputs = []
            for window, current in enumerate(currents.unbind(1)):
                if clips.begins is not None:
                    begins = clips.begins[:, window].view(-1, 1, 1, 1)
                    state = state.masked_fill(begins, 0)
                output, state = self.cell.step(current, state)
                outputs.append(output)
            remembered = torch.stack(outputs, dim=1).flatten(0, 1)  # [N, M, h, w]
            if clips.labelled is not None:
                remembered = remembered[clips.labelled]
                features = features[clips.labelled]
            added = self.alpha * self.up(remembered)
        return features + added.to(features.dtype), state


class PyramidMemory(nn.Module):
    """One :class:`MemoryLevel` per feature map; it computes in float32 even in mixed precision.

    Args:
        channels: channels of each feature map.
        config: kind of the cells, and their settings.
    """

    def __init__(self, channels: Sequence[int], config: DetectorConfig) -> None:
        super().__init__()
        self.levels = nn.ModuleList([MemoryLevel(c, config) for c in channels])

    def forward(self, features: Features, clips: Clips) -> tuple[Features, MemoryState]:
        """Add what is remembered to the features ``[N, C, h, w]`` of each map.

        Returns:
            The features of the labelled windows, and the state after each clip.
        """
        states = clips.state or (None, None, None)
        (x3, state3), (x4, state4), (x5, state5) = (
            level(x, state, clips)
            for level, x, state in zip(self.levels, features, states, strict=True)
        )
        return (x3, x4, x5), (state3, state4, state5)
