"""Exponential moving average (EMA) of the model's weights."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn


class ModelEma:
    """A copy of a model that holds the moving average of its weights and buffers.

    Update n computes average ← d·average + (1 − d)·model with d = decay·(1 − exp(−n/tau)), so the
    average follows the model closely at first and slowly later. Batch-norm statistics are averaged
    like the weights; integer buffers are copied.

    Args:
        model: the trained model; it is copied and never modified.
        decay: the final decay.
        tau: number of updates after which d reaches 63 % of ``decay``.
    """

    def __init__(self, model: nn.Module, *, decay: float = 0.9998, tau: float = 2000.0) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.updates = 0
        self._decay = decay
        self._tau = tau

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards ``model`` by one step."""
        self.updates += 1
        decay = self._decay * (1.0 - math.exp(-self.updates / self._tau))
        pairs = list(zip(_state(self.model), _state(model), strict=True))
        averages, values = zip(
            *(pair for pair in pairs if pair[0].is_floating_point()), strict=True
        )
        torch._foreach_lerp_(averages, values, 1.0 - decay)  # one fused kernel for all tensors
        for average, value in pairs:
            if not average.is_floating_point():
                average.copy_(value)


def _state(model: nn.Module) -> list[Tensor]:
    return list(model.state_dict().values())
