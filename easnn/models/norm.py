"""Batch norm with YOLOX's constants, and one that counts repeated time steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

EPS, MOMENTUM = 1e-3, 0.03


class RepeatedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm of frames, each of which stands for ``repeats`` identical time steps.

    Mean and variance do not depend on the repetition. But the running statistics keep the unbiased
    variance, which depends on the number of values, and here each value counts ``repeats`` times.

    Args:
        channels: of the frames.
        repeats: time steps per frame.
    """

    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, repeats: int) -> None:
        super().__init__(channels, EPS, MOMENTUM)
        self.repeats = repeats

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[S·B, C, H, W]``."""
        if not self.training:
            return super().forward(x)
        kept, updated = (1 - MOMENTUM) * self.running_var, self.running_var.clone()
        out = functional.batch_norm(
            x, self.running_mean, updated, self.weight, self.bias, True, MOMENTUM, EPS
        )
        n = x.numel() // self.num_features
        bessel = self.repeats * (n - 1) / (self.repeats * n - 1)  # from n/(n−1) to rn/(rn−1)
        self.running_var.copy_(torch.lerp(kept, updated, bessel))
        self.num_batches_tracked.add_(1)
        return out


def batch_norm(channels: int, repeats: int = 1) -> nn.BatchNorm2d:
    """Return a batch norm for frames that stand for ``repeats`` identical time steps each."""
    if repeats == 1:
        return nn.BatchNorm2d(channels, EPS, MOMENTUM)
    return RepeatedBatchNorm2d(channels, repeats)
