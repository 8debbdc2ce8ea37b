"""The spiking neuron of the detector and its surrogate gradients.

This is the only file that touches spikingjelly.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from spikingjelly.activation_based import functional
from spikingjelly.activation_based import surrogate as surrogates
from torch import Tensor, nn

from easnn.models.config import SurrogateName

START_TAU = 2.0
THRESHOLD = 1.0


class ParametricLIF(nn.Module):
    """A layer of leaky integrate-and-fire neurons with one learned leak (Fang et al., ICCV 2021).

    For t = 0 … T−1, from V = 0::

        H = V − V/τ + X[t]          1/τ = sigmoid(w), w learned, τ = 2 at the start
        S[t] = 1 where H ≥ 1        in the backward pass: the derivative of the surrogate
        V = H − S[t]                soft reset, through which the gradient flows, too

    The membrane exists only inside ``forward``, where it starts at zero; it is float32 even if the
    input has a lower precision.

    Args:
        T: time steps.
        spike_fn: name of the surrogate gradient.
        alpha: its sharpness.
        steps_in: time steps of the input: ``T``, or 1 for an input that is the same in every step.
    """

    def __init__(
        self, T: int, spike_fn: SurrogateName, alpha: float, steps_in: int | None = None
    ) -> None:
        super().__init__()
        self.T = T
        self.repeats = T // (steps_in or T)
        self.w = nn.Parameter(torch.tensor(-math.log(START_TAU - 1)))
        self.surrogate = build_surrogate(spike_fn, alpha)

    def forward(self, current: Tensor) -> Tensor:
        """Turn currents ``[steps_in·B, ...]`` into spikes ``[T·B, ...]``, each time first."""
        if self.repeats > 1:
            current = torch.cat([current] * self.repeats)  # [T·B, ...]
        # On a CPU the eager steps are faster. spikingjelly has fused kernels for GPUs, an operator
        # for torch.compile, and surrogates with parameters.
        fused = (
            current.is_cuda
            or torch.compiler.is_compiling()
            or isinstance(self.surrogate, LearnedATan)
        )
        steps = spikingjelly_steps if fused else eager_steps
        return steps(current, self.w, self.T, self.surrogate)

    def extra_repr(self) -> str:
        """Describe the time axis in ``print(model)``."""
        return f"T={self.T}, steps_in={self.T // self.repeats}"


def spikingjelly_steps(current: Tensor, w: Tensor, T: int, surrogate: nn.Module) -> Tensor:
    """Run the neuron by spikingjelly's function, with the interface of :func:`eager_steps`."""
    in_time = current.view(T, -1, *current.shape[1:])  # [T, B, ...]
    precision = torch.promote_types(current.dtype, torch.float32)
    start = torch.zeros_like(in_time[0], dtype=precision)  # [B, ...]
    spikes, *_ = functional.plif_multi_step(  # [T, B, ...]
        in_time,
        start,
        w,
        decay_input=False,
        v_threshold=THRESHOLD,
        v_reset=None,
        surrogate_function=surrogate,
    )
    return spikes.flatten(0, 1)


def eager_steps(current: Tensor, w: Tensor, T: int, surrogate: nn.Module) -> Tensor:
    """Run the neuron with a hand-written gradient for the whole sequence.

    Args:
        current: ``[T·B, ...]``, time first.
        w: the leak, 1/τ = sigmoid(w).
        T: time steps.
        surrogate: a surrogate of spikingjelly without learned parameters.

    Returns:
        Spikes like ``current``, in its memory format.
    """
    return _EagerSteps.apply(current, w, T, surrogate)  # type: ignore[no-untyped-call]


class _EagerSteps(torch.autograd.Function):
    """The neuron for a whole sequence; the backward pass needs only the membrane before resets."""

    @staticmethod
    def forward(ctx: Any, current: Tensor, w: Tensor, T: int, surrogate: Any) -> Tensor:
        keep = 1 - w.sigmoid()
        spikes = torch.empty_like(current)  # [T·B, ...]
        precision = torch.promote_types(current.dtype, torch.float32)
        charged = torch.empty_like(current, dtype=precision)  # H [T·B, ...]
        membrane: Tensor | None = None  # V [B, ...]
        for x, h, s in zip(current.chunk(T), charged.chunk(T), spikes.chunk(T), strict=True):
            if membrane is None:
                h.copy_(x)
            else:
                torch.addcmul(x, membrane, keep, out=h)
            torch.ge(h, THRESHOLD, out=s)
            membrane = h - s
        ctx.save_for_backward(charged, w)
        ctx.T, ctx.surrogate = T, surrogate
        return spikes

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        charged, w = ctx.saved_tensors
        leak = w.sigmoid()
        keep = 1 - leak
        # The memory format is that of the activations; that of the gradient can differ.
        grad_current = torch.empty_like(charged, dtype=grad.dtype)  # [T·B, ...]
        grad_keep = torch.zeros_like(w)  # []
        sequence = list(
            zip(grad.chunk(ctx.T), charged.chunk(ctx.T), grad_current.chunk(ctx.T), strict=True)
        )
        carry = torch.zeros_like(sequence[-1][1])  # [B, ...]: gradient of V after the reset
        for t in reversed(range(ctx.T)):
            grad_s, h, grad_h = sequence[t]
            through_spike = ctx.surrogate.backward(
                grad_s - carry, h - THRESHOLD, ctx.surrogate.alpha
            )
            torch.add(carry, through_spike, out=grad_h)
            if t > 0:
                before = sequence[t - 1][1]
                membrane = before - (before >= THRESHOLD).to(before.dtype)
                grad_keep += (membrane * grad_h).sum()
                carry = grad_h.to(keep.dtype) * keep
        return grad_current, -grad_keep * leak * keep, None, None


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
