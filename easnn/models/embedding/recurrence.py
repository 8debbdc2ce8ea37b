"""The membranes of the embeddings: how they charge, leak, fire and reset, step by step.

Slices are read from the newest to the oldest. In shapes, h = H/2 and w = W/2: images are packed,
see :mod:`easnn.models.embedding.packed`. The native kernels compute the membranes of all steps at
once, of images that are not packed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from easnn.kernels import (
    BranchWeights,
    Firing,
    computes_natively,
    default_kernels,
    has_hooks,
    native_gated_membrane,
    native_leaky_membrane,
)
from easnn.models.config import DetectorConfig
from easnn.models.embedding.packed import PackedConv2d, pack, unpack

SURROGATE_HALF_WIDTH = 0.5


class SamplingStep(NamedTuple):
    """One sampling step of every pixel, packed: each ``[B, 4·C, h, w]``.

    Attributes:
        membrane: U, before the reset.
        spikes: S.
        post_reset: V, the membrane after the reset.
    """

    membrane: Tensor
    spikes: Tensor
    post_reset: Tensor


class Recurrence(nn.Module, ABC):
    """A membrane that events charge, and that fires and resets.

    It is float32 even in mixed precision.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.firing = Firing(config.thresh, config.reset)
        self.kernels = default_kernels()

    def forward(self, slices: Tensor) -> list[SamplingStep]:
        """Turn slices ``[S, B, C, H, W]``, oldest first, into S steps, newest first."""
        if not self.is_native(slices):
            return self._steps(slices)
        packed = [pack(membrane) for membrane in self.native_membranes(slices)]
        return [SamplingStep(u, *fire(u, self.firing)) for u in packed]

    def spikes(self, slices: Tensor) -> Tensor:
        """Return where the membrane fires for slices ``[S, B, C, H, W]``, oldest first.

        Returns:
            ``[S, B, C, H, W]``, bool, newest step first.
        """
        if self.is_native(slices):
            return self.native_membranes(slices) > self.firing.thresh
        return torch.stack([unpack(step.spikes) for step in self._steps(slices)]) > 0

    def is_native(self, slices: Tensor) -> bool:
        """Return whether the native kernels compute the membrane.

        They do not run the convolutions as modules, so they are not used while these or the
        recurrence have hooks. They do not compute neurons between convolutions.
        """
        layers = [layer for layer in self.modules() if not list(layer.children())]
        weights = next(self.parameters())
        return (
            computes_natively(self.kernels, slices)
            and computes_natively(self.kernels, weights)
            and torch.promote_types(slices.dtype, torch.float32)
            == torch.promote_types(weights.dtype, torch.float32)
            and all(type(layer) in (PackedConv2d, nn.ReLU) for layer in layers)
            and not any(has_hooks(module) for module in self.modules())
        )

    @abstractmethod
    def native_membranes(self, slices: Tensor) -> Tensor:
        """Turn slices ``[S, B, C, H, W]``, oldest first, into U ``[S, B, C, H, W]``, newest first.

        Nothing is packed. :meth:`is_native` must hold.
        """

    @abstractmethod
    def _steps(self, slices: Tensor) -> list[SamplingStep]:
        """Do as :meth:`forward` by torch's operations."""


class GatedRecurrence(Recurrence):
    """A membrane whose charge and decay gate depend on the input and on the last spikes.

    ::

        g_in, c_in = input_conv(e[t]);   g_rec, c_rec = gate_conv(S)
        U = sigmoid(g_in + g_rec)·V + c_in + c_rec
        S = Θ(U − thresh);   V = U after the reset

    from V = S = 0.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        self.input_conv = conv_branch(config, 2 * config.in_channels)
        self.gate_conv = conv_branch(config, 2 * config.in_channels)
        for kernel in kernels(self.input_conv):
            nn.init.orthogonal_(kernel, nn.init.calculate_gain("relu"))
        for kernel in kernels(self.gate_conv):
            nn.init.kaiming_uniform_(kernel, nonlinearity="sigmoid")

    def native_membranes(self, slices: Tensor) -> Tensor:
        """Compute the membranes of all steps; see :class:`Recurrence`."""
        branches = branch_weights(self.input_conv), branch_weights(self.gate_conv)
        return native_gated_membrane(slices, *branches, self.firing)

    def _steps(self, slices: Tensor) -> list[SamplingStep]:
        packed = pack(slices)  # [S, B, 4·C, h, w]
        charges = charge_newest_first(self.input_conv, packed)  # S of [B, 8·C, h, w]
        post_reset = initial_membrane(packed[0])  # [B, 4·C, h, w]
        # No spikes yet; the gate of one image is broadcast to all.
        spikes = torch.zeros_like(post_reset[:1])  # [1, 4·C, h, w]
        steps, hidden = [], NO_STEP_YET
        for charge in charges:
            recurrent, hidden = branch_step(self.gate_conv, spikes, hidden)
            gate, charge = (charge + recurrent).chunk(2, dim=1)  # each [B, 4·C, h, w]
            membrane = gate.sigmoid() * post_reset + charge
            spikes, post_reset = fire(membrane, self.firing)
            steps.append(SamplingStep(membrane, spikes, post_reset))
        return steps


class LeakyRecurrence(Recurrence):
    """A membrane that the input charges and that keeps a learned fraction from step to step.

    ::

        U = sigmoid(decay)·V + conv(e[t])
        S = Θ(U − thresh);   V = U after the reset

    from V = 0.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        self.conv = conv_branch(config, config.in_channels)
        self.decay = learned_decay(config)
        for kernel in kernels(self.conv):
            nn.init.orthogonal_(kernel, nn.init.calculate_gain("relu"))

    def native_membranes(self, slices: Tensor) -> Tensor:
        """Compute the membranes of all steps; see :class:`Recurrence`."""
        return native_leaky_membrane(
            slices, branch_weights(self.conv), self.decay.sigmoid(), self.firing
        )

    def _steps(self, slices: Tensor) -> list[SamplingStep]:
        packed = pack(slices)  # [S, B, 4·C, h, w]
        charges = charge_newest_first(self.conv, packed)  # S of [B, 4·C, h, w]
        post_reset = initial_membrane(packed[0])  # [B, 4·C, h, w]
        steps = []
        for charge in charges:
            membrane = self.decay.sigmoid() * post_reset + charge  # [B, 4·C, h, w]
            spikes, post_reset = fire(membrane, self.firing)
            steps.append(SamplingStep(membrane, spikes, post_reset))
        return steps


def fire(membrane: Tensor, firing: Firing) -> tuple[Tensor, Tensor]:
    """Return the spikes and the membrane after the reset, each of the shape of ``membrane``.

    There is a spike where the membrane is strictly above the threshold. Its surrogate derivative is
    1 where the membrane is less than ½ away from the threshold, else 0. The gradient also flows
    through the reset.
    """
    spikes = _RectangleStep.apply(membrane - firing.thresh)  # type: ignore[no-untyped-call]
    if firing.reset is None:
        return spikes, membrane - firing.thresh * spikes
    return spikes, membrane * (1 - spikes) + firing.reset * spikes


class _RectangleStep(torch.autograd.Function):
    """Θ(x), Θ(0) = 0, with a rectangle as its derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * (x.abs() < SURROGATE_HALF_WIDTH)


class LeakyNeurons(nn.Module):
    """Leaky neurons between two convolutions of a branch.

    ::

        U = sigmoid(decay)·V + x[t]
        S = Θ(U − thresh);   V = U after the reset

    from V = 0 in the first step of a window. They fire and reset as the membrane of the embedding
    does, with its ``thresh``, ``reset`` and surrogate; the decay is one number, which is learned.
    The membrane is float32 even in mixed precision.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.firing = Firing(config.thresh, config.reset)
        self.decay = learned_decay(config)

    def forward(self, current: Tensor, membrane: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute one sampling step.

        Args:
            current: ``[B, 4·C, h, w]``.
            membrane: V after the step before, which may be of one image for all; None in the first
                step.

        Returns:
            S and V, each like ``current``.
        """
        if membrane is None:
            membrane = initial_membrane(current)
        return fire(self.decay.sigmoid() * membrane + current, self.firing)


Membranes = tuple[Tensor, ...]
"""Of each :class:`LeakyNeurons` of a branch, in order, after a step."""

NO_STEP_YET: Membranes = ()


def branch_step(
    branch: nn.Sequential, cells: Tensor, membranes: Membranes
) -> tuple[Tensor, Membranes]:
    """Send the cells ``[B, 4·C, h, w]`` of one sampling step through a branch.

    Args:
        branch: of :func:`conv_branch`.
        cells: its input.
        membranes: what this function returned for the step before, or :data:`NO_STEP_YET`.

    Returns:
        The output ``[B, 4·C', h, w]``, and the membranes of the neurons between the convolutions.
    """
    if not has_neurons(branch):
        return branch(cells), NO_STEP_YET
    before, after = iter(membranes), []
    for layer in branch:
        if isinstance(layer, LeakyNeurons):
            cells, membrane = layer(cells, next(before, None))
            after.append(membrane)
        else:
            cells = layer(cells)
    return cells, tuple(after)


def has_neurons(branch: nn.Sequential) -> bool:
    """Return whether a branch has neurons between its convolutions."""
    return any(isinstance(layer, LeakyNeurons) for layer in branch)


def charge_newest_first(branch: nn.Sequential, packed: Tensor) -> list[Tensor]:
    """Send all slices ``[S, B, 4·C, h, w]``, oldest first, through ``branch``.

    Without neurons, one call computes all slices. Neurons see them one after another, newest first.

    Returns:
        The outputs ``[B, 4·C', h, w]`` of the slices, newest first.
    """
    if not has_neurons(branch):
        outputs = branch(packed.flatten(0, 1))  # [S·B, 4·C', h, w]
        return list(reversed(outputs.chunk(len(packed))))
    charges, membranes = [], NO_STEP_YET
    for cells in reversed(packed.unbind()):
        charge, membranes = branch_step(branch, cells, membranes)
        charges.append(charge)
    return charges


def learned_decay(config: DetectorConfig) -> nn.Parameter:
    """Return a new parameter whose sigmoid is the fraction of a membrane that a step leaves."""
    return nn.Parameter(torch.tensor(math.log(config.decay / (1 - config.decay))))


def initial_membrane(like: Tensor) -> Tensor:
    """Return zeros of the shape of ``like``, in float32 or in a higher precision of ``like``."""
    return torch.zeros_like(like, dtype=torch.promote_types(like.dtype, torch.float32))


def conv_branch(config: DetectorConfig, out_channels: int) -> nn.Sequential:
    """Stack ``embedding_depth`` convolutions that keep the size, ``embedding_act`` between them."""
    kernel_size = config.embedding_ksize
    layers: list[nn.Module] = [PackedConv2d(config.in_channels, out_channels, kernel_size)]
    for _ in range(config.embedding_depth - 1):
        between = LeakyNeurons(config) if config.embedding_act == "lif" else nn.ReLU(inplace=True)
        layers += [between, PackedConv2d(out_channels, out_channels, kernel_size)]
    return nn.Sequential(*layers)


def kernels(branch: nn.Sequential) -> list[Tensor]:
    """Return the weights of a branch's convolutions, in order."""
    return [layer.weight for layer in branch if isinstance(layer, PackedConv2d)]


def branch_weights(branch: nn.Sequential) -> BranchWeights:
    """Return the weights and biases of a branch's convolutions for the native kernels."""
    convolutions = [layer for layer in branch if isinstance(layer, PackedConv2d)]
    weights = []
    for convolution in convolutions:
        assert convolution.bias is not None
        weights.append((convolution.weight, convolution.bias))
    return BranchWeights.of(weights)
