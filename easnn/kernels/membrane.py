"""The membranes of the embeddings over all sampling steps, native, forward and backward."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from easnn.kernels.arrays import address, computing_dtype, type_code
from easnn.kernels.choice import loaded_library
from easnn.native import call


@dataclass(frozen=True)
class Firing:
    """When a membrane fires, and what it is then.

    Attributes:
        thresh: threshold; a membrane strictly above it fires.
        reset: membrane after a spike; None: ``thresh`` is subtracted.
    """

    thresh: float
    reset: float | None


@dataclass(frozen=True)
class BranchWeights:
    """The weights of a stack of convolutions with ReLU between them.

    Attributes:
        values: weight ``[C', C, k, k]`` and bias ``[C']`` of each convolution in turn, flat.
        depth: number of convolutions.
        kernel_size: k, odd.
    """

    values: Tensor
    depth: int
    kernel_size: int

    @classmethod
    def of(cls, weights: list[tuple[Tensor, Tensor]]) -> BranchWeights:
        """Join the weights and biases of a branch, in order; gradients flow back to each."""
        flat = [values.reshape(-1) for layer in weights for values in layer]
        return cls(torch.cat(flat), len(weights), weights[0][0].shape[-1])


def native_gated_membrane(
    slices: Tensor, charge: BranchWeights, gate: BranchWeights, firing: Firing
) -> Tensor:
    """Compute the membrane of :class:`~easnn.models.embedding.recurrence.GatedRecurrence`.

    The convolutions, the gate and the reset of a tile are computed while its values are in the
    cache, in at least float32. The membranes, and for the backward pass the gates, are all that is
    kept. Results do not depend on the number of threads or on the other images of the batch.

    Args:
        slices: ``[S, B, C, H, W]``, oldest first, on a CPU.
        charge: the branch of the events, from C to 2·C channels: gates, then charges.
        gate: the branch of the spikes, of the same shape.
        firing: threshold and reset.

    Returns:
        U of each step ``[S, B, C, H, W]``, newest slice first. Sums of convolutions are in another
        order than torch's.
    """
    real = computing_dtype(slices)
    return _Membrane.apply(  # type: ignore[no-untyped-call]
        slices.to(real),
        charge.values.to(real),
        gate.values.to(real),
        None,
        charge,
        firing,
        torch.is_grad_enabled(),
    )


def native_leaky_membrane(
    slices: Tensor, charge: BranchWeights, keep: Tensor, firing: Firing
) -> Tensor:
    """Compute the membrane of :class:`~easnn.models.embedding.recurrence.LeakyRecurrence`.

    Args:
        slices: ``[S, B, C, H, W]``, oldest first, on a CPU.
        charge: the branch of the events, from C to C channels.
        keep: the fraction that is left of the membrane after a step, ``[]``.
        firing: threshold and reset.

    Returns:
        U as :func:`native_gated_membrane`.
    """
    real = computing_dtype(slices)
    return _Membrane.apply(  # type: ignore[no-untyped-call]
        slices.to(real),
        charge.values.to(real),
        None,
        keep.to(real),
        charge,
        firing,
        torch.is_grad_enabled(),
    )


class _Arguments(ctypes.Structure):
    """As ``MembraneArguments`` in membrane.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("steps", "images", "channels", "height", "width")),
        *((name, ctypes.c_int64) for name in ("slice_stride", "image_stride", "depth", "size")),
        *((name, ctypes.c_int64) for name in ("soft_reset", "threads")),
        *((name, ctypes.c_double) for name in ("thresh", "reset", "keep")),
        *((name, ctypes.c_void_p) for name in ("slices", "charge", "gate")),
    ]


class _Membrane(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        slices: Tensor,
        charge: Tensor,
        gate: Tensor | None,
        keep: Tensor | None,
        shape: BranchWeights,
        firing: Firing,
        keep_gates: bool,
    ) -> Tensor:
        if not slices[0, 0].is_contiguous():
            slices = slices.contiguous()
        membranes = slices.new_empty(slices.shape)
        gates = None
        if gate is not None and keep_gates:
            gates = slices.new_empty(len(slices) - 1, *slices.shape[1:])
        ctx.shape, ctx.firing = replace(shape, values=shape.values[:0].detach()), firing
        arguments = _arguments(slices, charge, gate, keep, ctx.shape, firing)
        call(
            loaded_library(),
            "easnn_membrane",
            type_code(slices),
            ctypes.byref(arguments),
            address(membranes),
            address(gates),
        )
        ctx.save_for_backward(slices, charge, gate, keep, membranes, gates)
        return membranes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        slices, charge, gate, keep, membranes, gates = ctx.saved_tensors
        grad_slices = slices.new_empty(slices.shape) if ctx.needs_input_grad[0] else None
        # Sums over tiles are added in float64.
        grad_charge = torch.empty_like(charge, dtype=torch.float64)
        grad_gate = None if gate is None else torch.empty_like(gate, dtype=torch.float64)
        grad_keep = torch.empty((), dtype=torch.float64)
        arguments = _arguments(slices, charge, gate, keep, ctx.shape, ctx.firing)
        grad = grad.contiguous()
        call(
            loaded_library(),
            "easnn_membrane_backward",
            type_code(slices),
            ctypes.byref(arguments),
            address(grad),
            address(membranes),
            address(gates),
            address(grad_slices),
            address(grad_charge),
            address(grad_gate),
            address(grad_keep),
        )
        return (
            grad_slices,
            grad_charge.to(charge.dtype),
            None if grad_gate is None else grad_gate.to(charge.dtype),
            None if keep is None else grad_keep.to(keep.dtype),
            None,
            None,
            None,
        )


def _arguments(
    slices: Tensor,
    charge: Tensor,
    gate: Tensor | None,
    keep: Tensor | None,
    shape: BranchWeights,
    firing: Firing,
) -> _Arguments:
    steps, images, channels, height, width = slices.shape
    return _Arguments(
        steps,
        images,
        channels,
        height,
        width,
        slices.stride(0),
        slices.stride(1),
        shape.depth,
        shape.kernel_size,
        firing.reset is None,
        torch.get_num_threads(),
        firing.thresh,
        firing.reset or 0.0,
        0.0 if keep is None else keep.item(),
        address(slices),
        address(charge),
        address(gate),
    )
