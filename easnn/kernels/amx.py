"""Convolutions of spikes by the matrix unit of a processor (AMX), with the results of float32."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor, nn

from easnn.kernels.arrays import address, threads, type_code
from easnn.kernels.batch_norm import Statistics
from easnn.kernels.choice import loaded_library
from easnn.native import call


def amx_spike_conv(
    spikes: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
) -> Tensor:
    """Convolve spikes, or sums of few of them, on the matrix unit; not recorded by autograd.

    A float32 weight is the sum of three bfloat16 numbers, and spikes are exact in bfloat16. So
    nothing but the sums is rounded, in float32.

    Args:
        spikes: ``[N, C, H, W]``, channels last, integers from 0 to 255, float32 or
            bfloat16; C and C' are multiples of 16.
        weight: ``[C', C, k, k]``, channels last, float32.
        bias: ``[C']``, or None.
        stride: stride of both axes.
        padding: zeros at each border.

    Returns:
        ``[N, C', H', W']``, channels last. It does not depend on the number of threads.
    """
    return _run(spikes, weight, None, bias, stride, padding, dtype=weight.dtype, steps=1, keep=None)


def amx_spiking_unit(
    conv: nn.Conv2d,
    spikes: Tensor,
    leak: float,
    T: int,
    *,
    dtype: torch.dtype,
    norm: tuple[Tensor, Tensor] | None = None,
    statistics: Statistics | None = None,
) -> Tensor:
    """Convolve spikes, normalise, and fire, in one pass: the currents do not reach the memory.

    Args:
        conv: a square convolution of spikes.
        spikes: ``[T·B, C, H, W]``, time first, as for :func:`amx_spike_conv`.
        leak: 1/τ of the neurons.
        T: time steps.
        dtype: of the result, float32 or bfloat16.
        norm: weight and bias of the norm, each ``[C']``; None: no norm.
        statistics: those of the norm.

    Returns:
        Spikes ``[T·B, C', H', W']``, channels last; those of
        :func:`~easnn.kernels.norm_plif.native_norm_plif` up to the rounding of currents.
    """
    scale, shift = None, conv.bias
    if statistics is not None:
        weight, bias = norm or (1.0, 0.0)
        of_mean = statistics.mean if shift is None else statistics.mean - shift
        scale = (statistics.inverse_std * weight).contiguous()
        shift = bias - of_mean * scale
    stride, padding = conv.stride[0], int(conv.padding[0])
    return _run(
        spikes, conv.weight, scale, shift, stride, padding, dtype=dtype, steps=T, keep=1 - leak
    )


def _run(
    spikes: Tensor,
    weight: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    stride: int,
    padding: int,
    *,
    dtype: torch.dtype,
    steps: int,
    keep: float | None,
) -> Tensor:
    images, in_channels, *hw = spikes.shape
    out_channels, _, kernel, _ = weight.shape
    out_hw = [(side + 2 * padding - kernel) // stride + 1 for side in hw]
    out = torch.empty(
        (images, out_channels, *out_hw),
        dtype=dtype,
        memory_format=torch.channels_last,
    )
    sizes = (steps, images, *hw, in_channels, out_channels, kernel, stride, padding, *out_hw)
    call(
        loaded_library(),
        "easnn_amx_spike_conv",
        type_code(spikes),
        type_code(out),
        address(spikes),
        address(weight),
        address(scale),
        address(shift),
        ctypes.c_int(keep is not None),
        ctypes.c_double(keep or 0.0),
        *map(ctypes.c_int64, sizes),
        address(out),
        threads(),
    )
    return out
