"""Parametric leaky integrate-and-fire neurons by torch's operations and by spikingjelly."""

from __future__ import annotations

from typing import Any

import torch
from spikingjelly.activation_based import functional
from torch import Tensor, nn

THRESHOLD = 1.0


def spikingjelly_plif(current: Tensor, w: Tensor, T: int, surrogate: nn.Module) -> Tensor:
    """Run the neuron by spikingjelly's function, with the interface of :func:`plain_plif`."""
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
    return _PlainPLIF.apply(current, w, T, surrogate)  # type: ignore[no-untyped-call]


class _PlainPLIF(torch.autograd.Function):
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
