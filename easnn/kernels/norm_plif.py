"""Batch norm and the neurons behind it in one native pass, forward and backward."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from spikingjelly.activation_based import surrogate as surrogates
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from easnn.kernels.arrays import address, channels_last, computing_dtype, threads, type_code
from easnn.kernels.batch_norm import Statistics, norm_values
from easnn.kernels.choice import loaded_library
from easnn.kernels.plif import INTEGER_KEEP
from easnn.native import call

SURROGATES = {surrogates.ATan: 0, surrogates.Sigmoid: 1, surrogates.Rect: 2}
"""Codes of the surrogate gradients, as in norm_plif.cpp."""

INTEGER = 3
"""Code of the integer neurons there."""


def native_norm_plif(
    current: Tensor,
    w: Tensor,
    T: int,
    surrogate: nn.Module,
    *,
    steps_in: int,
    norm: tuple[Tensor, Tensor] | None = None,
    statistics: Statistics | None = None,
) -> Tensor:
    """Turn currents into spikes as :func:`~easnn.kernels.plif.plain_plif`, after a batch norm.

    The currents are normalised and the membrane is computed in registers; the backward pass
    computes both again. Nothing but the currents is kept for it.

    Args:
        current: ``[steps_in·B, C, H, W]``, time first, on a CPU.
        w: the leak, 1/τ = sigmoid(w).
        T: time steps.
        surrogate: one of :data:`SURROGATES`.
        steps_in: ``T``, or 1 if the current is the same in every step.
        norm: weight and bias of the norm, each ``[C]``; None: no norm.
        statistics: those of the norm.

    Returns:
        Spikes ``[T·B, C, H, W]``, channels last. Given the same statistics, they equal those of
        torch's operations to the bit in float32 and float64. In bfloat16 the normalised current is
        not rounded.
    """
    alpha: Any = surrogate.alpha
    firing = (SURROGATES[type(surrogate)], alpha)
    return _run(current, w, firing, T, steps_in, norm, statistics)


def native_norm_ilif(
    current: Tensor,
    T: int,
    levels: int,
    *,
    steps_in: int,
    norm: tuple[Tensor, Tensor] | None = None,
    statistics: Statistics | None = None,
) -> Tensor:
    """Turn currents into spikes as :func:`~easnn.kernels.plif.plain_ilif`, after a batch norm.

    Args:
        current: as for :func:`native_norm_plif`, and so are the others.
        T: time steps.
        levels: most spikes of a neuron in a step, at most 255.
        steps_in: ``T``, or 1 if the current is the same in every step.
        norm: weight and bias of the norm; None: no norm.
        statistics: those of the norm.

    Returns:
        As :func:`native_norm_plif`: numbers of spikes.
    """
    return _run(current, None, (INTEGER, float(levels)), T, steps_in, norm, statistics)


def _run(
    current: Tensor,
    w: Tensor | None,
    firing: tuple[int, float],
    T: int,
    steps_in: int,
    norm: tuple[Tensor, Tensor] | None,
    statistics: Statistics | None,
) -> Tensor:
    """Run the neurons of a code, which has a parameter: a sharpness or levels."""
    weight, bias = norm or (None, None)
    return _NormNeurons.apply(current, weight, bias, w, statistics, T, steps_in, firing)  # type: ignore[no-untyped-call]


class _NormNeurons(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        w: Tensor | None,
        statistics: Statistics | None,
        T: int,
        steps_in: int,
        firing: tuple[int, float],
    ) -> Tensor:
        current = channels_last(current)
        images, channels, height, width = current.shape
        batch = images // steps_in
        spikes = torch.empty(
            (T * batch, channels, height, width),
            dtype=current.dtype,
            memory_format=torch.channels_last,
        )
        of_norm = norm_values(statistics, weight, bias, computing_dtype(current))
        code, parameter = firing
        layout = (
            ctypes.c_int(code),
            ctypes.c_double(parameter),
            ctypes.c_double(INTEGER_KEEP if w is None else 1 - w.detach().sigmoid().item()),
            ctypes.c_int64(batch * height * width),
            ctypes.c_int64(channels),
            ctypes.c_int(T),
            ctypes.c_int(steps_in),
        )
        call(
            loaded_library(),
            "easnn_norm_neurons",
            type_code(current),
            address(current),
            *map(address, of_norm),
            *layout,
            address(spikes),
            threads(),
        )
        ctx.save_for_backward(current, w, *of_norm)
        ctx.layout = layout
        ctx.of_batch = statistics is not None and statistics.of_batch
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        current, w, *of_norm = ctx.saved_tensors
        grad = channels_last(grad.to(current.dtype))
        grad_current = torch.empty_like(current)
        grad_weight, grad_bias = (None if x is None else torch.empty_like(x) for x in of_norm[2:])
        grad_keep = ctypes.c_double()
        call(
            loaded_library(),
            "easnn_norm_neurons_backward",
            type_code(current),
            address(grad),
            address(current),
            *map(address, of_norm),
            ctypes.c_int(ctx.of_batch),
            *ctx.layout,
            address(grad_current),
            address(grad_weight),
            address(grad_bias),
            ctypes.byref(grad_keep),
            threads(),
        )
        leak = None if w is None else w.sigmoid()
        grad_w = None if leak is None else -grad_keep.value * leak * (1 - leak)
        return grad_current, grad_weight, grad_bias, grad_w, None, None, None, None
