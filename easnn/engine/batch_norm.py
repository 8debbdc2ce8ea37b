"""Batch norm in training: freezing its statistics, and keeping them the same on every process."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Return the batch-norm layers of ``model``."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def train_mode(model: nn.Module, *, freeze_bn: bool) -> None:
    """Put ``model`` into training mode; with ``freeze_bn``, batch norms use and keep running statistics."""
    model.train()
    if freeze_bn:
        for layer in batch_norms(model):
            layer.eval()


def running_statistics(model: nn.Module) -> list[Tensor]:
    """Return the running means and variances of every batch norm that is learning them."""
    return [
        statistic
        for layer in batch_norms(model)
        if layer.training
        for statistic in (layer.running_mean, layer.running_var)
        if statistic is not None
    ]
