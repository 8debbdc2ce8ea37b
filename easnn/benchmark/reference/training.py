"""A training step with one operation per tensor: optimizer and moving average."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from easnn.utils.precision import Precision


class PublishedEma:
    """The same average as :class:`~easnn.engine.ema.ModelEma`, tensor by tensor.

    Args:
        model: the trained model; it is copied.
        decay: the final decay.
        tau: number of updates after which the decay reaches 63 % of ``decay``.
    """

    def __init__(self, model: nn.Module, decay: float = 0.9998, tau: float = 2000.0) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.updates = 0
        self._decay, self._tau = decay, tau

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards ``model`` by one step."""
        self.updates += 1
        decay = self._decay * (1 - math.exp(-self.updates / self._tau))
        state = model.state_dict()
        for name, average in self.model.state_dict().items():
            if average.dtype.is_floating_point:
                average *= decay
                average += (1 - decay) * state[name].detach()
            else:
                average.copy_(state[name])


class PublishedStep:
    """Forward, backward, Adam and moving average.

    Args:
        model: in training mode it returns losses.
        lr: learning rate.
        precision: full or mixed precision.
    """

    def __init__(self, model: nn.Module, lr: float, precision: Precision) -> None:
        self.model = model
        self.ema = PublishedEma(model)
        self._optimizer = torch.optim.Adam(model.parameters(), lr=lr, foreach=False)
        self._precision = precision

    def __call__(self, events: Tensor, targets: Tensor) -> dict[str, float]:
        """Run one step and return its losses."""
        with self._precision.autocast():
            losses = self.model(events, targets)
        self._optimizer.zero_grad()
        losses["total_loss"].backward()
        self._optimizer.step()
        self.ema.update(self.model)
        return {name: float(loss.detach()) for name, loss in losses.items()}
