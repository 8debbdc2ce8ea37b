"""Frames as few bytes."""

from __future__ import annotations

import struct
from functools import cache

import numpy as np
import torch
import zstandard
from torch import Tensor

LEVEL = 1
"""Higher levels of zstd take several times as long and save nothing on frames of counts."""

_HEADER = struct.Struct("<4s5I")  # type of the values, and the five lengths of [Tl,Tm,C,H,W]


def pack_frame(events: Tensor) -> bytes:
    """Return a frame ``[Tl,Tm,C,H,W]`` compressed, with a checksum."""
    values = np.ascontiguousarray(events.numpy())
    header = _HEADER.pack(values.dtype.str.encode(), *values.shape)
    return _compressor().compress(header + values.tobytes())


def unpack_frame(packed: bytes) -> Tensor:
    """Return the frame that :func:`pack_frame` packed, in memory of its own.

    Raises:
        ValueError: if these are not all the bytes that it returned.
    """
    try:
        content = bytearray(zstandard.ZstdDecompressor().decompress(packed))
        dtype, *shape = _HEADER.unpack_from(content)
        values = np.frombuffer(content, dtype.rstrip(b"\0").decode(), offset=_HEADER.size)
        return torch.from_numpy(values.reshape(shape))
    except (zstandard.ZstdError, struct.error, TypeError, MemoryError) as error:
        raise ValueError(f"no packed frame: {error}") from error


@cache
def _compressor() -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
