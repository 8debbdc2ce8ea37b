"""The spiking neurons of the detector, and the surrogate gradients of the binary one."""

from __future__ import annotations

import math
from typing import Any

import torch
from spikingjelly.activation_based import surrogate as surrogates
from torch import Tensor, nn

from easnn.kernels import (
    SURROGATES,
    Statistics,
    computes_natively,
    default_kernels,
    has_hooks,
    native_norm_ilif,
    native_norm_plif,
    plain_ilif,
    plain_plif,
    spikingjelly_ilif,
    spikingjelly_plif,
)
from easnn.models.config import SurrogateName
from easnn.models.norm import RepeatedBatchNorm2d, native_statistics

START_TAU = 2.0


class SpikingNeurons(nn.Module):
    """A layer of neurons with a membrane, whose spikes are subtracted from it.

    The membrane exists only inside ``forward``, where it starts at zero; it is float32 even if the
    input has a lower precision.

    Attributes:
        T: time steps.
        repeats: time steps for which one of the input stands.
        levels: most spikes of a neuron in a time step.
        kernels: how it is computed on a CPU.

    Args:
        T: time steps.
        levels: most spikes of a neuron in a time step.
        steps_in: time steps of the input: ``T``, or 1 for an input that is the same in every step.
    """

    def __init__(self, T: int, levels: int, steps_in: int | None = None) -> None:
        super().__init__()
        self.T = T
        self.levels = levels
        self.repeats = T // (steps_in or T)
        self.kernels = default_kernels()

    def forward(self, current: Tensor, norm: nn.Module | None = None) -> Tensor:
        """Turn currents into spikes.

        Args:
            current: ``[steps_in·B, ...]``, time first.
            norm: the batch norm of the currents; the native kernel computes both in one pass.

        Returns:
            Numbers of spikes ``[T·B, ...]``, time first.
        """
        if self._is_native(current, norm):
            return self._native(current, norm)
        if norm is not None:
            current = norm(current)
        if self.repeats > 1:
            current = torch.cat([current] * self.repeats)  # [T·B, ...]
        # spikingjelly has fused kernels for GPUs and an operator for torch.compile.
        return self._fire(current, fused=current.is_cuda or torch.compiler.is_compiling())

    def _fire(self, current: Tensor, *, fused: bool) -> Tensor:
        """Return the spikes for currents of all time steps, by spikingjelly's kernels or not."""
        raise NotImplementedError

    def _fire_natively(
        self,
        current: Tensor,
        norm: tuple[Tensor, Tensor] | None,
        statistics: Statistics | None,
    ) -> Tensor:
        """Return the spikes for currents of ``T`` or one time step, before their norm."""
        raise NotImplementedError

    def _is_native(self, current: Tensor, norm: nn.Module | None) -> bool:
        return (
            computes_natively(self.kernels, current)
            and current.dim() == 4
            and current.is_contiguous(memory_format=torch.channels_last)
            and (norm is None or is_inlined(norm, current))
        )

    def _native(self, current: Tensor, norm: nn.Module | None) -> Tensor:
        if not isinstance(norm, nn.BatchNorm2d):
            return self._fire_natively(current, None, None)
        statistics = native_statistics(norm, current)
        return self._fire_natively(current, (norm.weight, norm.bias), statistics)

    def extra_repr(self) -> str:
        """Describe the time axis in ``print(model)``."""
        return f"T={self.T}, steps_in={self.T // self.repeats}"


class ParametricLIF(SpikingNeurons):
    """A layer of leaky integrate-and-fire neurons with one learned leak (Fang et al., ICCV 2021).

    For t = 0 … T−1, from V = 0::

        H = V − V/τ + X[t]          1/τ = sigmoid(w), w learned, τ = 2 at the start
        S[t] = 1 where H ≥ 1        in the backward pass: the derivative of the surrogate
        V = H − S[t]                soft reset, through which the gradient flows, too

    Args:
        T: time steps.
        spike_fn: name of the surrogate gradient.
        alpha: its sharpness.
        steps_in: as for :class:`SpikingNeurons`.
    """

    def __init__(
        self, T: int, spike_fn: SurrogateName, alpha: float, steps_in: int | None = None
    ) -> None:
        super().__init__(T, 1, steps_in)
        self.w = nn.Parameter(torch.tensor(-math.log(START_TAU - 1)))
        self.surrogate = build_surrogate(spike_fn, alpha)

    def _fire(self, current: Tensor, *, fused: bool) -> Tensor:
        # Only spikingjelly's has surrogates with parameters.
        fused = fused or isinstance(self.surrogate, LearnedATan)
        steps = spikingjelly_plif if fused else plain_plif
        return steps(current, self.w, self.T, self.surrogate)

    def _is_native(self, current: Tensor, norm: nn.Module | None) -> bool:
        return type(self.surrogate) in SURROGATES and super()._is_native(current, norm)

    def _fire_natively(
        self,
        current: Tensor,
        norm: tuple[Tensor, Tensor] | None,
        statistics: Statistics | None,
    ) -> Tensor:
        return native_norm_plif(
            current,
            self.w,
            self.T,
            self.surrogate,
            steps_in=self.T // self.repeats,
            norm=norm,
            statistics=statistics,
        )


class IntegerLIF(SpikingNeurons):
    """A layer of leaky integrate-and-fire neurons that fire 0 to D times in a step.

    I-LIF of SpikeYOLO (Luo et al., ECCV 2024). For t = 0 … T−1, from V = 0::

        H = V/4 + X[t]
        C[t] = round(clip(H, 0, D))     in the backward pass: derivative 1 where 0 ≤ H ≤ D, else 0
        V = H − C[t]                    soft reset, detached: no gradient flows from V to C

    With T = 1 nothing is remembered: it is a quantiser with D + 1 levels.

    Args:
        T: time steps.
        levels: D, at most 255.
        steps_in: as for :class:`SpikingNeurons`.
    """

    def _fire(self, current: Tensor, *, fused: bool) -> Tensor:
        steps = spikingjelly_ilif if fused else plain_ilif
        return steps(current, self.T, self.levels)

    def _fire_natively(
        self,
        current: Tensor,
        norm: tuple[Tensor, Tensor] | None,
        statistics: Statistics | None,
    ) -> Tensor:
        return native_norm_ilif(
            current,
            self.T,
            self.levels,
            steps_in=self.T // self.repeats,
            norm=norm,
            statistics=statistics,
        )

    def extra_repr(self) -> str:
        """Describe levels and the time axis in ``print(model)``."""
        return f"levels={self.levels}, {super().extra_repr()}"


def quantiser_note(model: nn.Module) -> str | None:
    """Return a sentence if the integer neurons of ``model`` have no memory, because T is 1."""
    levels = [n.levels for n in model.modules() if isinstance(n, IntegerLIF) and n.T == 1]
    if not levels:
        return None
    return (
        f"With `T` 1, integer neurons have no memory: they are quantisers with {levels[0] + 1} "
        f"levels, 0 to {levels[0]}."
    )


def is_inlined(norm: nn.Module, values: Tensor) -> bool:
    """Return whether a native kernel computes ``norm``, instead of its own ``forward``.

    A norm with hooks runs itself. So does one of a single value per channel, which has no variance.
    """
    if has_hooks(norm):
        return False
    if type(norm) in (nn.BatchNorm2d, RepeatedBatchNorm2d):
        return not norm.training or values.numel() > values.shape[1]
    return type(norm) is nn.Identity


class LearnedATan(nn.Module):
    """The arctangent surrogate with a learned slope a: primitive atan(π/2·|a|·x)/π + ½.

    Args:
        alpha: initial value of the slope.
    """

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(alpha))

    def forward(self, x: Tensor) -> Tensor:
        """Return 1 where x ≥ 0, else 0."""
        return _LearnedATanStep.apply(x, self.slope)  # type: ignore[no-untyped-call]


class _LearnedATanStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, slope = ctx.saved_tensors
        shared = 0.5 * grad / (1 + (math.pi / 2 * slope * x) ** 2)
        return shared * slope.abs(), (shared * x).sum() * slope.sign()


def build_surrogate(spike_fn: SurrogateName, alpha: float) -> nn.Module:
    """Return the step function Θ(x), Θ(0) = 1, with the derivative of a surrogate."""
    match spike_fn:
        case "atan":
            return surrogates.ATan(alpha)
        case "sigmoid":
            return surrogates.Sigmoid(alpha)
        case "rect":
            return surrogates.Rect()
        case "patan":
            return LearnedATan(alpha)
