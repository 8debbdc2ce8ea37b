"""The step function of the sampler's neurons and what the membrane does after it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

SURROGATE_HALF_WIDTH = 0.5


def fire(membrane: Tensor, threshold: float, reset: float | None) -> tuple[Tensor, Tensor]:
    """Return the spikes and the membrane after them.

    A spike is where the membrane is strictly above the threshold; its surrogate derivative is 1 where the
    membrane is less than ½ away from it, else 0. After a spike the membrane is ``reset``, or lower by the
    threshold if that is ``None``. The gradient flows through the reset, too.
    """
    spikes: Tensor = _Rectangle.apply(membrane - threshold)  # type: ignore[no-untyped-call]
    if reset is None:
        return spikes, membrane - threshold * spikes
    return spikes, membrane * (1 - spikes) + reset * spikes


class _Rectangle(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        x: Tensor = ctx.saved_tensors[0]
        return grad * (x.abs() < SURROGATE_HALF_WIDTH)
