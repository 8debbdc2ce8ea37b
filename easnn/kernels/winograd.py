"""Dense 3×3 convolutions by a native kernel with 2.25 times fewer multiplications."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from easnn.kernels.arrays import address, threads
from easnn.kernels.choice import Kernels, computes_natively, has_hooks, loaded_library
from easnn.native import call

LANES = 16
"""Channels of input and output must be multiples of it, as in winograd.cpp and spike_conv.cpp."""

MIN_TILES = 100
"""Tiles of 2×2 outputs, in all images, below which torch's convolution is faster, as measured.

The weights are transformed in each call, which few tiles do not pay for.
"""


def is_float32_convolution(
    kernels: Kernels, conv: nn.Conv2d, x: Tensor, of: tuple[torch.dtype, ...] = (torch.float32,)
) -> bool:
    """Return whether native kernels in float32 apply to ``conv(x)``, channels last.

    A convolution with hooks, of a subclass, or under autocast runs itself. ``of`` are the types
    that ``x`` may have.
    """
    return (
        computes_natively(kernels, x)
        and x.dtype in of
        and conv.weight.dtype is torch.float32
        and not torch.is_autocast_enabled("cpu")
        and x.is_contiguous(memory_format=torch.channels_last)
        and conv.weight.is_contiguous(memory_format=torch.channels_last)
        and type(conv) is nn.Conv2d
        and conv.groups == 1
        and conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and conv.in_channels % LANES == conv.out_channels % LANES == 0
        and not has_hooks(conv)
    )


def is_winograd_convolution(kernels: Kernels, conv: nn.Conv2d, x: Tensor) -> bool:
    """Return whether :func:`native_winograd_conv` applies to ``conv(x)``, and is faster."""
    return (
        is_float32_convolution(kernels, conv, x)
        and (conv.stride, conv.padding) == ((1, 1), (1, 1))
        and is_faster(x.shape, conv.weight, 1, 1)
    )


def native_winograd_conv(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Convolve as ``conv`` does, by Winograd's F(2×2, 3×3) (see winograd.cpp).

    The gradient of the input is computed in the same way, the others by torch's operations.

    Args:
        conv: a convolution for which :func:`is_winograd_convolution` holds.
        x: ``[N, C, H, W]``, channels last.

    Returns:
        ``[N, C', H, W]``, channels last; equal to the result of ``conv`` up to rounding. It does
        not depend on the number of threads.
    """
    return _WinogradConv.apply(x, conv.weight, conv.bias)  # type: ignore[no-untyped-call]


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Return a dense convolution in float32, channels last, by what is faster; not recorded.

    Args:
        x: ``[N, C, H, W]``, channels last; C and C' are multiples of :data:`LANES`.
        weight: ``[C', C, k, k]``, channels last.
        bias: ``[C']``, or None.
        stride: stride of both axes.
        padding: zeros at each border.
    """
    if not is_faster(x.shape, weight, stride, padding):
        return torch.conv2d(x, weight, bias, stride, padding)
    out = torch.empty((len(x), len(weight), *x.shape[-2:]), memory_format=torch.channels_last)
    return _run(x, weight, bias, out, turned=False)


def gradient_of_input(
    grad: Tensor, shape: torch.Size, weight: Tensor, stride: int, padding: int
) -> Tensor:
    """Return the gradient of the input of :func:`convolve` from that of its output.

    Args:
        grad: gradient of the output ``[N, C', H', W']``, channels last.
        shape: ``[N, C, H, W]`` of the input.
        weight: as for :func:`convolve`.
        stride: as for :func:`convolve`.
        padding: as for :func:`convolve`.
    """
    if is_faster(shape, weight, stride, padding):
        out = torch.empty(shape, memory_format=torch.channels_last)
        return _run(grad, weight, None, out, turned=True)
    of_input: Tensor = torch.ops.aten.convolution_backward(
        grad,
        grad.new_empty(()).expand(shape),
        weight,
        None,
        [stride] * 2,
        [padding] * 2,
        [1, 1],
        False,
        [0, 0],
        1,
        [True, False, False],
    )[0]
    return of_input


class _WinogradConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return convolve(x, weight, bias, 1, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        grad = grad.contiguous(memory_format=torch.channels_last)
        of_x = gradient_of_input(grad, x.shape, weight, 1, 1) if needs_x else None
        _, of_weight, of_bias = torch.ops.aten.convolution_backward(
            grad,
            x,
            weight,
            [len(weight)] if ctx.has_bias else None,
            [1, 1],
            [1, 1],
            [1, 1],
            False,
            [0, 0],
            1,
            [False, needs_weight, needs_bias and ctx.has_bias],
        )
        return of_x, of_weight, of_bias


def is_faster(shape: torch.Size, weight: Tensor, stride: int, padding: int) -> bool:
    """Return whether :func:`convolve` uses the kernel, for an input of a shape ``[N, C, H, W]``."""
    images, _, height, width = shape
    tiles = images * ((height + 1) // 2) * ((width + 1) // 2)
    return (*weight.shape[-2:], stride, padding) == (3, 3, 1, 1) and tiles >= MIN_TILES


def _run(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor, *, turned: bool) -> Tensor:
    images, in_channels, height, width = x.shape
    sizes = (images, height, width, in_channels, out.shape[1])
    call(
        loaded_library(),
        "easnn_winograd",
        address(x),
        address(weight),
        address(bias),
        *map(ctypes.c_int64, sizes),
        ctypes.c_int(turned),
        address(out),
        threads(),
    )
    return out
