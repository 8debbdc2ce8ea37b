"""Convolutions of spikes by a native kernel that skips the inputs that are zero."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from easnn.kernels.amx import amx_spike_conv
from easnn.kernels.arrays import address, threads
from easnn.kernels.choice import Kernels, has_matrix_unit, loaded_library
from easnn.kernels.winograd import convolve, gradient_of_input, is_faster, is_float32_convolution
from easnn.native import call

GRAD_MAX_DENSITY = 0.25
"""Share of inputs above which a dense gradient of the weights is faster, as measured."""


def is_spike_convolution(kernels: Kernels, conv: nn.Conv2d, spikes: Tensor) -> bool:
    """Return whether :func:`native_spike_conv` applies.

    It is for float32. In lower precision, and for other layouts or a few channels, a dense
    convolution is faster. A convolution with hooks runs itself.
    """
    return is_float32_convolution(kernels, conv, spikes) and _is_square(conv)


def is_one_pass_convolution(kernels: Kernels, conv: nn.Conv2d, spikes: Tensor) -> bool:
    """Return whether :func:`~easnn.kernels.amx.amx_spiking_unit` applies."""
    types = (torch.float32, torch.bfloat16)
    return (
        is_float32_convolution(kernels, conv, spikes, types)
        and _is_square(conv)
        and has_matrix_unit()
    )


def _is_square(conv: nn.Conv2d) -> bool:
    return all(len(set(pair)) == 1 for pair in (conv.kernel_size, conv.stride, conv.padding))


def native_spike_conv(conv: nn.Conv2d, spikes: Tensor) -> Tensor:
    """Convolve spikes, or sums of few of them, as ``conv`` does.

    The kernel adds the weights of the spikes. If too many inputs are not zero, a dense convolution
    is faster and computes the result. For the backward pass, spikes are saved in one byte each, and
    the gradient of the weights is summed over the spikes, too.

    Args:
        conv: a square convolution for which :func:`is_spike_convolution` holds.
        spikes: ``[N, C, H, W]``, integers from 0 to 255.

    Returns:
        ``[N, C', H', W']``, channels last; equal to the dense result up to the order of its sums.
        A sparse result does not depend on the number of threads.
    """
    return _SpikeConv.apply(
        spikes, conv.weight, conv.bias, conv.stride[0], conv.padding[0], torch.is_grad_enabled()
    )  # type: ignore[no-untyped-call]


class _SpikeConv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        spikes: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        padding: int,
        keep: bool,
    ) -> Tensor:
        kernel = weight.shape[-1]
        if has_matrix_unit():
            out = amx_spike_conv(spikes, weight, bias, stride, padding)
        else:
            out = _sparse_or_dense(spikes, weight, bias, stride, padding)
        ctx.layout = _layout(spikes, out, kernel, stride, padding)
        ctx.stride, ctx.padding, ctx.has_bias = stride, padding, bias is not None
        if keep and any(ctx.needs_input_grad):
            ctx.save_for_backward(spikes.to(torch.uint8), weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        spikes, weight = ctx.saved_tensors
        needs_spikes, needs_weight, needs_bias, *_ = ctx.needs_input_grad
        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_weight = None
        if needs_weight:
            grad_weight = torch.empty_like(weight)
            done = call(
                loaded_library(),
                "easnn_spike_conv_grad_weight",
                address(spikes),
                address(grad),
                *ctx.layout,
                ctypes.c_double(GRAD_MAX_DENSITY),
                address(grad_weight),
                threads(),
            )
            grad_weight = grad_weight if done else None
        dense = needs_weight and grad_weight is None
        _, of_weight, of_bias = torch.ops.aten.convolution_backward(
            grad,
            spikes.to(grad.dtype)
            if dense
            else spikes.new_empty((), dtype=grad.dtype).expand(spikes.shape),
            weight,
            [len(weight)] if ctx.has_bias else None,
            [ctx.stride] * 2,
            [ctx.padding] * 2,
            [1, 1],
            False,
            [0, 0],
            1,
            [False, dense, needs_bias and ctx.has_bias],
        )
        of_spikes = None
        if needs_spikes:
            of_spikes = gradient_of_input(grad, spikes.shape, weight, ctx.stride, ctx.padding)
        return of_spikes, of_weight if dense else grad_weight, of_bias, None, None, None


def _sparse_or_dense(
    spikes: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
) -> Tensor:
    kernel = weight.shape[-1]
    sides = [(side + 2 * padding - kernel) // stride + 1 for side in spikes.shape[-2:]]
    out = torch.empty((len(spikes), len(weight), *sides), memory_format=torch.channels_last)
    done = call(
        loaded_library(),
        "easnn_spike_conv",
        address(spikes),
        address(weight),
        address(bias),
        *_layout(spikes, out, kernel, stride, padding),
        ctypes.c_double(_max_density(spikes.shape, weight, stride, padding)),
        address(out),
        threads(),
    )
    return out if done else convolve(spikes, weight, bias, stride, padding)


def _max_density(shape: torch.Size, weight: Tensor, stride: int, padding: int) -> float:
    """Return the share of inputs above which a dense convolution is faster, as measured.

    The sums of few output channels are few operations for each spike, which also takes time to
    find.
    """
    out_channels = len(weight)
    if is_faster(shape, weight, stride, padding):  # than torch's dense convolution
        return 0.18 if out_channels >= 64 else 0.04 if out_channels >= 32 else 0.0
    return 0.3 if out_channels >= 64 else 0.08 if out_channels >= 32 else 0.0


def _layout(
    spikes: Tensor, out: Tensor, kernel: int, stride: int, padding: int
) -> tuple[ctypes.c_int64, ...]:
    images, in_channels, height, width = spikes.shape
    _, out_channels, out_height, out_width = out.shape
    inputs = (images, height, width, in_channels)
    outputs = (out_channels, kernel, stride, padding, out_height, out_width)
    return tuple(map(ctypes.c_int64, inputs + outputs))
