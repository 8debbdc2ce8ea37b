"""Batch norm with YOLOX's constants, and one that counts repeated time steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from easnn.kernels import Statistics, batch_moments

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
        assert self.momentum is not None
        momentum = self.momentum
        kept, updated = (1 - momentum) * self.running_var, self.running_var.clone()
        out = functional.batch_norm(
            x, self.running_mean, updated, self.weight, self.bias, True, momentum, self.eps
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


def native_statistics(norm: nn.BatchNorm2d, values: Tensor) -> Statistics:
    """Return the statistics with which ``norm`` normalises ``values`` now, by a native kernel.

    In training mode they are those of the values, and the running statistics of ``norm`` follow
    them as in its own ``forward``.

    Args:
        norm: a batch norm of :func:`batch_norm`.
        values: ``[N, C, H, W]`` with two values or more per channel.
    """
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None
    assert var is not None
    if not norm.training:
        return Statistics(mean, (var + norm.eps).sqrt().reciprocal(), of_batch=False)
    batch_mean, batch_var = batch_moments(values)  # each [C]
    repeats = norm.repeats if isinstance(norm, RepeatedBatchNorm2d) else 1
    n = repeats * (values.numel() // values.shape[1])
    assert norm.momentum is not None
    momentum = norm.momentum
    with torch.no_grad():
        mean.lerp_(batch_mean.to(mean.dtype), momentum)
        var.lerp_((batch_var * (n / (n - 1))).to(var.dtype), momentum)
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.add_(1)
    return Statistics(batch_mean, (batch_var + norm.eps).rsqrt(), of_batch=True)
