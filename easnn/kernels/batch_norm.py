"""Batch norm for the native kernels: statistics of channels, and what a kernel needs of them."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from easnn.kernels.arrays import address, channels_last, threads, type_code
from easnn.kernels.choice import loaded_library
from easnn.native import call


@dataclass(frozen=True)
class Statistics:
    """Means and variances of channels, and whether they are those of the normalised values.

    Attributes:
        mean: ``[C]``.
        inverse_std: 1/√(variance + ε) ``[C]``.
        of_batch: whether they depend on the values, so that gradients flow through them.
    """

    mean: Tensor
    inverse_std: Tensor
    of_batch: bool


def batch_moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance of each channel of ``[N, C, H, W]``, each ``[C]``, float64.

    They do not depend on the number of threads.
    """
    values = channels_last(values.detach())
    channels = values.shape[1]
    mean, variance = torch.empty(2, channels, dtype=torch.float64)
    call(
        loaded_library(),
        "easnn_moments",
        type_code(values),
        address(values),
        ctypes.c_int64(values.numel() // channels),
        ctypes.c_int64(channels),
        address(mean),
        address(variance),
        threads(),
    )
    return mean, variance


def norm_values(
    statistics: Statistics | None, weight: Tensor | None, bias: Tensor | None, dtype: torch.dtype
) -> list[Tensor | None]:
    """Return mean, inverse deviation, weight and bias as a kernel takes them; None without a norm.

    Args:
        statistics: those of the norm; None: no norm.
        weight: of the norm, ``[C]``.
        bias: of the norm, ``[C]``.
        dtype: what the kernel computes in.
    """
    if statistics is None:
        return [None] * 4
    values = (statistics.mean, statistics.inverse_std, weight, bias)
    return [None if x is None else x.detach().to(dtype).contiguous() for x in values]
