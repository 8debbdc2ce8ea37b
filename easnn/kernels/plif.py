"""Leaky integrate-and-fire neurons, parametric and integer, by torch and by spikingjelly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from spikingjelly.activation_based import functional
from spikingjelly.activation_based.surrogate import MultiLevelSpikeCount
from torch import Tensor, nn

THRESHOLD = 1.0

INTEGER_KEEP = 0.25
"""What an integer neuron keeps of its membrane until the next step (SpikeYOLO, ECCV 2024)."""


def spikingjelly_plif(current: Tensor, w: Tensor, T: int, surrogate: nn.Module) -> Tensor:
    """Run the neuron by spikingjelly's function, with the interface of :func:`plain_plif`."""
    in_time, start = _in_time(current, T)
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


def spikingjelly_ilif(current: Tensor, T: int, levels: int) -> Tensor:
    """Run the neuron by spikingjelly's function, with the interface of :func:`plain_ilif`."""
    in_time, start = _in_time(current, T)
    spikes, *_ = functional.ilif_multi_step(  # [T, B, ...]
        in_time,
        start,
        tau=1 / (1 - INTEGER_KEEP),
        surrogate_function=MultiLevelSpikeCount(levels),
        detach_reset=True,
    )
    return spikes.flatten(0, 1)


def _in_time(current: Tensor, T: int) -> tuple[Tensor, Tensor]:
    """Return currents ``[T, B, ...]``, and the membrane at the start, ``[B, ...]``."""
    in_time = current.view(T, -1, *current.shape[1:])
    precision = torch.promote_types(current.dtype, torch.float32)
    return in_time, torch.zeros_like(in_time[0], dtype=precision)


def plain_plif(current: Tensor, w: Tensor, T: int, surrogate: nn.Module) -> Tensor:
    """Run the neuron with a hand-written gradient for the whole sequence.

    Args:
        current: ``[T·B, ...]``, time first.
        w: the leak, 1/τ = sigmoid(w).
        T: time steps.
        surrogate: a surrogate of spikingjelly without learned parameters.

    Returns:
        Spikes like ``current``, in its memory format.
    """
    return _PlainNeurons.apply(current, w, T, _Binary(surrogate))  # type: ignore[no-untyped-call]


def plain_ilif(current: Tensor, T: int, levels: int) -> Tensor:
    """Run the integer neuron with a hand-written gradient for the whole sequence.

    Args:
        current: ``[T·B, ...]``, time first.
        T: time steps.
        levels: most spikes of a neuron in a step, at most 255.

    Returns:
        Numbers of spikes like ``current``, in its memory format. A NaN stays one.
    """
    return _PlainNeurons.apply(current, None, T, _Integer(levels))  # type: ignore[no-untyped-call]


class _Firing(Protocol):
    """How many spikes a neuron fires at a membrane H, and the derivative of this number."""

    def fire(self, h: Tensor, out: Tensor) -> None:
        """Write the number of spikes at H to ``out``."""

    def through(self, grad_s: Tensor, carry: Tensor, h: Tensor) -> Tensor:
        """Return the gradient of H by way of the spikes.

        Args:
            grad_s: gradient of the spikes.
            carry: gradient of the membrane after the reset, V = H − spikes.
            h: the membrane H.
        """


@dataclass(frozen=True)
class _Binary:
    surrogate: Any

    def fire(self, h: Tensor, out: Tensor) -> None:
        torch.ge(h, THRESHOLD, out=out)

    def through(self, grad_s: Tensor, carry: Tensor, h: Tensor) -> Tensor:
        through: Tensor = self.surrogate.backward(
            grad_s - carry, h - THRESHOLD, self.surrogate.alpha
        )
        return through


@dataclass(frozen=True)
class _Integer:
    levels: int

    def fire(self, h: Tensor, out: Tensor) -> None:
        out.copy_(h.clamp(0, self.levels).round_())  # rounded before the precision gets lower

    def through(self, grad_s: Tensor, carry: Tensor, h: Tensor) -> Tensor:
        # The reset is detached: `carry` does not reach H by way of the spikes.
        return grad_s.to(h.dtype) * ((h >= 0) & (h <= self.levels))


class _PlainNeurons(torch.autograd.Function):
    """Neurons for a whole sequence; the backward pass needs only the membrane before resets."""

    @staticmethod
    def forward(ctx: Any, current: Tensor, w: Tensor | None, T: int, firing: _Firing) -> Tensor:
        spikes = torch.empty_like(current)  # [T·B, ...]
        precision = torch.promote_types(current.dtype, torch.float32)
        charged = torch.empty_like(current, dtype=precision)  # H [T·B, ...]
        keep = charged.new_full((), INTEGER_KEEP) if w is None else 1 - w.sigmoid()
        membrane: Tensor | None = None  # V [B, ...]
        for x, h, s in zip(current.chunk(T), charged.chunk(T), spikes.chunk(T), strict=True):
            if membrane is None:
                h.copy_(x)
            else:
                torch.addcmul(x, membrane, keep, out=h)
            firing.fire(h, out=s)
            membrane = h - s
        ctx.save_for_backward(charged, w)
        ctx.T, ctx.firing = T, firing
        return spikes

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        charged, w = ctx.saved_tensors
        leak = None if w is None else w.sigmoid()
        keep = charged.new_full((), INTEGER_KEEP) if leak is None else 1 - leak
        # The memory format is that of the activations; that of the gradient can differ.
        grad_current = torch.empty_like(charged, dtype=grad.dtype)  # [T·B, ...]
        grad_keep = torch.zeros_like(keep)  # []
        sequence = list(
            zip(grad.chunk(ctx.T), charged.chunk(ctx.T), grad_current.chunk(ctx.T), strict=True)
        )
        carry = torch.zeros_like(sequence[-1][1])  # [B, ...]: gradient of V after the reset
        for t in reversed(range(ctx.T)):
            grad_s, h, grad_h = sequence[t]
            torch.add(carry, ctx.firing.through(grad_s, carry, h), out=grad_h)
            if t == 0:
                break
            if leak is not None:
                before = sequence[t - 1][1]
                membrane = before - (before >= THRESHOLD).to(before.dtype)
                grad_keep += (membrane * grad_h).sum()
            carry = grad_h.to(keep.dtype) * keep
        return grad_current, None if leak is None else -grad_keep * leak * keep, None, None
