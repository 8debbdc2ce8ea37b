"""Batch norm and SiLU in one native pass, forward and backward."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from easnn.kernels.arrays import address, channels_last, computing_dtype, threads, type_code
from easnn.kernels.batch_norm import Statistics, norm_values
from easnn.kernels.choice import loaded_library
from easnn.native import call


def native_norm_silu(
    x: Tensor,
    *,
    norm: tuple[Tensor, Tensor] | None = None,
    statistics: Statistics | None = None,
    overwrite: bool = False,
) -> Tensor:
    """Return SiLU, z·sigmoid(z), of the batch norm z of ``x``.

    Nothing but ``x`` is kept for the backward pass, which computes the norm again.

    Args:
        x: ``[N, C, H, W]`` on a CPU.
        norm: weight and bias of the norm, each ``[C]``; None: no norm.
        statistics: those of the norm.
        overwrite: whether the result may be written over ``x`` if no gradient is needed.

    Returns:
        ``[N, C, H, W]``, channels last; equal to the result of torch's operations up to rounding.
        It does not depend on the number of threads. In bfloat16 the norm is not rounded.
    """
    weight, bias = norm or (None, None)
    return _NormSiLU.apply(  # type: ignore[no-untyped-call]
        x, weight, bias, statistics, overwrite and not torch.is_grad_enabled()
    )


class _NormSiLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        statistics: Statistics | None,
        overwrite: bool,
    ) -> Tensor:
        x = channels_last(x)
        out = x.detach() if overwrite else torch.empty_like(x)
        of_norm = norm_values(statistics, weight, bias, computing_dtype(x))
        layout = (ctypes.c_int64(x.numel() // x.shape[1]), ctypes.c_int64(x.shape[1]))
        call(
            loaded_library(),
            "easnn_norm_silu",
            type_code(x),
            address(x),
            *map(address, of_norm),
            *layout,
            address(out),
            threads(),
        )
        ctx.save_for_backward(x, *of_norm)
        ctx.layout = layout
        ctx.of_batch = statistics is not None and statistics.of_batch
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *of_norm = ctx.saved_tensors
        grad = channels_last(grad.to(x.dtype))
        grad_x = torch.empty_like(x)
        grad_weight, grad_bias = (None if v is None else torch.empty_like(v) for v in of_norm[2:])
        call(
            loaded_library(),
            "easnn_norm_silu_backward",
            type_code(x),
            address(grad),
            address(x),
            *map(address, of_norm),
            ctypes.c_int(ctx.of_batch),
            *ctx.layout,
            address(grad_x),
            address(grad_weight),
            address(grad_bias),
            threads(),
        )
        return grad_x, grad_weight, grad_bias, None, None
