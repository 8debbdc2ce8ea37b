"""The segments of the adaptive sampler, native, forward and backward."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from easnn.kernels.arrays import address, type_code
from easnn.kernels.choice import loaded_library
from easnn.kernels.membrane import Firing
from easnn.native import call

READOUTS = {"sum": 0, "last": 1, "avg": 2}
"""Codes of the readouts, as in segments.cpp."""


@dataclass(frozen=True)
class SegmentRules:
    """What is written of the segments of a pixel.

    Attributes:
        Ts: segments that are written.
        readout: what is read: the sum of the membrane since the last spike, the membrane that
            fired, or the mean.
        spike_attach: whether the gradient of a segment reaches the spike that ends it.
        write_zero: whether the residue, which no spike ends, is dropped.
        firing: threshold and reset.
    """

    Ts: int
    readout: Literal["sum", "last", "avg"]
    spike_attach: bool
    write_zero: bool
    firing: Firing


def native_segments(membranes: Tensor, rules: SegmentRules) -> Tensor:
    """Write segments as :class:`~easnn.models.embedding.arsnn.AdaptiveSampling`.

    Args:
        membranes: U before the reset ``[S, B, C, H, W]``, in the order of reading, on a CPU.
        rules: which segments are written, and how.

    Returns:
        Segments ``[Ts, B, C, H, W]``, equal to those of torch's operations to the bit.
    """
    return _Segments.apply(membranes, rules)  # type: ignore[no-untyped-call]


class _Arguments(ctypes.Structure):
    """As ``SegmentArguments`` in segments.cpp."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("pixels", "steps", "most", "readout")),
        *((name, ctypes.c_int64) for name in ("attach", "drop", "soft_reset", "threads")),
        *((name, ctypes.c_double) for name in ("thresh", "reset")),
    ]


class _Segments(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, membranes: Tensor, rules: SegmentRules) -> Tensor:
        membranes = membranes.contiguous()
        written = membranes.new_empty(rules.Ts, *membranes.shape[1:])
        call(
            loaded_library(),
            "easnn_segments",
            type_code(membranes),
            ctypes.byref(_arguments(membranes, rules)),
            address(membranes),
            address(written),
        )
        ctx.save_for_backward(membranes)
        ctx.rules = rules
        return written

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (membranes,) = ctx.saved_tensors
        grad, grad_membranes = grad.contiguous(), torch.empty_like(membranes)
        call(
            loaded_library(),
            "easnn_segments_backward",
            type_code(membranes),
            ctypes.byref(_arguments(membranes, ctx.rules)),
            address(grad),
            address(membranes),
            address(grad_membranes),
        )
        return grad_membranes, None


def _arguments(membranes: Tensor, rules: SegmentRules) -> _Arguments:
    return _Arguments(
        membranes[0].numel(),
        len(membranes),
        rules.Ts,
        READOUTS[rules.readout],
        rules.spike_attach,
        rules.write_zero,
        rules.firing.reset is None,
        torch.get_num_threads(),
        rules.firing.thresh,
        rules.firing.reset or 0.0,
    )
