"""Checks of Blosc-compressed chunks that neither HDF5 nor Blosc makes: they crash where a header lies."""

from __future__ import annotations

from typing import Any

import numpy as np

BLOSC_FILTER = 32_001
BLOSC_HEADER = np.dtype([("_", "V4"), ("bytes", "<u4"), ("block_bytes", "<u4"), ("stored_bytes", "<u4")])


class ChunkCheck:
    """Remembers which chunks of a dataset [N] are as large as they must be."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        stored = dataset.id.get_create_plist()
        filters = [stored.get_filter(number)[0] for number in range(stored.get_nfilters())]
        self._applies = dataset.chunks is not None and filters == [BLOSC_FILTER]
        self._whole: set[int] = set()

    def check(self, start: int, stop: int) -> None:
        """Check the chunks of the entries ``start`` to ``stop``.

        Raises:
            ValueError: if one is damaged.
        """
        if not self._applies:
            return
        (length,) = self._dataset.chunks
        for first in range(start // length * length, stop, length):
            if first not in self._whole:
                self._check(first, length * self._dataset.dtype.itemsize)
                self._whole.add(first)

    def _check(self, first: int, chunk_bytes: int) -> None:
        info = self._dataset.id.get_chunk_info_by_coord((first,))
        if info.byte_offset is None:
            raise ValueError(f"the chunk of entry {first} is missing")
        if info.filter_mask:  # stored as it is
            whole = info.size == chunk_bytes
        else:
            _, stored = self._dataset.id.read_direct_chunk((first,))
            if len(stored) < BLOSC_HEADER.itemsize:
                raise ValueError(f"the chunk of entry {first} has no header")
            header = np.frombuffer(stored, BLOSC_HEADER, 1)[0]
            whole = header["bytes"] == chunk_bytes and header["stored_bytes"] == len(stored)
        if not whole:
            raise ValueError(f"the chunk of entry {first} has another size than it says")
