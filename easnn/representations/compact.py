"""The smallest types that hold the values of a representation, because frames travel between processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

COUNT_DTYPES = (np.uint8, np.int16, np.int32)


def compact_integers(counts: npt.NDArray[np.int64]) -> np.ndarray:
    """Return counts, at least 0, as uint8 if they fit, else int16, else int32."""
    dtype = next(dtype for dtype in COUNT_DTYPES if counts.max() <= np.iinfo(dtype).max)
    return counts.astype(dtype)


def compact_floats(values: npt.NDArray[Any]) -> np.ndarray:
    """Return floating-point values as float16 if they fit, else float32.

    float16 rounds to 11 bits, by at most 1/2048 of a value, which is less than resizing changes it; below
    6·10⁻⁵ by at most 3·10⁻⁸.
    """
    fits = max(values.max(), -values.min()) <= np.finfo(np.float16).max
    return values.astype(np.float16 if fits else np.float32)
