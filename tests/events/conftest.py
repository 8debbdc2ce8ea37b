from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from easnn.events import native_calls

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


@pytest.fixture(params=["numpy", "native"])
def decoders(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with NumPy, and with the native decoders."""
    if request.param == "numpy":
        monkeypatch.setattr(native_calls, "library", lambda: None)
    elif native_calls.library() is None:
        pytest.skip("no native decoders, or not wanted")
    return str(request.param)
