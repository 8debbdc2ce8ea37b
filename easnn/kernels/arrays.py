"""Tensors as arguments of native functions."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

TYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2}
"""Codes of the stored types, as in numbers.h."""


def address(tensor: Tensor | None) -> ctypes.c_void_p:
    """Return a pointer to the first value of ``tensor``; None: a null pointer."""
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def type_code(tensor: Tensor) -> ctypes.c_int:
    """Return the code of the type of the stored values."""
    return ctypes.c_int(TYPES[tensor.dtype])


def computing_dtype(tensor: Tensor) -> torch.dtype:
    """Return the type in which the values of ``tensor`` are computed: at least float32."""
    return torch.promote_types(tensor.dtype, torch.float32)


def threads() -> ctypes.c_int:
    """Return the number of threads that torch uses now."""
    return ctypes.c_int(torch.get_num_threads())


def channels_last(images: Tensor) -> Tensor:
    """Return ``[N, C, H, W]`` with the channels of a pixel next to each other in memory."""
    return images.contiguous(memory_format=torch.channels_last)
