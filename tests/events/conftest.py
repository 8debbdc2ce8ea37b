from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

HEADER = b"% Data file containing CD events.\n% Version 2\n\x0c\x08"


@pytest.fixture
def raw_dat(tmp_path: Path) -> Callable[..., Path]:
    """Write a DAT file from what is stored: counters and words of 32 bits, behind any header."""

    def write(
        counters: list[int] | np.ndarray,
        words: list[int] | np.ndarray | None = None,
        header: bytes = HEADER,
    ) -> Path:
        records = np.zeros((len(counters), 2), "<u4")
        records[:, 0] = counters
        if words is not None:
            records[:, 1] = words
        path = tmp_path / "raw_td.dat"
        path.write_bytes(header + records.tobytes())
        return path

    return write
