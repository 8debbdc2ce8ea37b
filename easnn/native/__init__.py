"""Loads the native libraries, which are built with the package (see :mod:`easnn.native.sources`).

Every function in them has a counterpart in Python that computes the same. A machine for which they
are not built, or without a compiler, works with these.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

from loguru import logger

from easnn.native.sources import DECODERS, KERNELS, NativeLibrary, libraries

__all__ = ["DECODERS", "KERNELS", "NativeLibrary", "libraries", "load"]


@cache
def load(library: NativeLibrary) -> ctypes.CDLL | None:
    """Load a library, once per process.

    Returns:
        The library; None if it is not there or was built from other sources, with a warning if it
        could have been built for this machine.
    """
    path = Path(__file__).parent / f"{library.name}.so"
    if library not in libraries():
        return None
    again = "Install the package again, with a C++ compiler, for more speed: pip install -e ."
    if not path.is_file():
        logger.warning("The native library {} is not built. {}", path.name, again)
        return None
    try:
        loaded = ctypes.CDLL(str(path))
        loaded.easnn_sources.restype = ctypes.c_uint64
        current = loaded.easnn_sources() == library.digest()
    except (OSError, AttributeError) as error:
        logger.warning("The native library {} cannot be loaded ({}). {}", path.name, error, again)
        return None
    if not current:
        logger.warning(
            "The native library {} was built from other sources and is not used. {}",
            path.name,
            again,
        )
        return None
    return loaded
