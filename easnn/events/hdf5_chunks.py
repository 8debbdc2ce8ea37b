"""Checks of Blosc-compressed chunks that neither HDF5 nor Blosc makes: they crash where a header lies."""

from __future__ import annotations

from itertools import product
from typing import Any

import h5py
import numpy as np

BLOSC_FILTER = 32_001
BLOSC_HEADER = np.dtype([("_", "V4"), ("bytes", "<u4"), ("block_bytes", "<u4"), ("stored_bytes", "<u4")])


class ChunkCheck:
    """Remembers which chunks of a dataset [N, …] are as large as they must be."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        stored = dataset.id.get_create_plist()
        self._filters = [stored.get_filter(number)[0] for number in range(stored.get_nfilters())]
        self._whole: set[tuple[int, ...]] = set()

    def check(self, start: int, stop: int) -> None:
        """Check the chunks of the entries ``start`` to ``stop`` along the first axis.

        Raises:
            ValueError: if one is damaged.
        """
        if BLOSC_FILTER not in self._filters:
            return
        *before, last = self._filters
        if last != BLOSC_FILTER or not {*before} <= {h5py.h5z.FILTER_SHUFFLE}:
            raise ValueError("Blosc must be the only filter, but for a shuffle before it")
        shape, lengths = self._dataset.shape, self._dataset.chunks
        first = range(start // lengths[0] * lengths[0], stop, lengths[0])
        others = (range(0, side, length) for side, length in zip(shape[1:], lengths[1:], strict=True))
        for corner in product(first, *others):
            if corner not in self._whole:
                self._check(corner)
                self._whole.add(corner)

    def _check(self, corner: tuple[int, ...]) -> None:
        chunk_bytes = int(np.prod(self._dataset.chunks, dtype=object)) * self._dataset.dtype.itemsize
        info = self._dataset.id.get_chunk_info_by_coord(corner)
        if info.byte_offset is None:
            raise ValueError(f"the chunk of entry {corner[0]} is missing")
        if info.filter_mask >> len(self._filters) - 1 & 1:  # stored without Blosc
            whole = info.size == chunk_bytes
        else:
            _, stored = self._dataset.id.read_direct_chunk(corner)
            if len(stored) < BLOSC_HEADER.itemsize:
                raise ValueError(f"the chunk of entry {corner[0]} has no header")
            header = np.frombuffer(stored, BLOSC_HEADER, 1)[0]
            whole = header["bytes"] == chunk_bytes and header["stored_bytes"] == len(stored)
        if not whole:
            raise ValueError(f"the chunk of entry {corner[0]} has another size than it says")
