"""Loads the native libraries, which are built with the package (see :mod:`easnn.native.sources`).

Every function in them has a counterpart in Python that computes the same. A machine for which they
are not built, or without a compiler, works with these, and so does a run that chooses them.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any, Literal

from loguru import logger

from easnn.native.sources import COMPILER, DECODERS, KERNELS, NativeLibrary, libraries
from easnn.utils.errors import ConfigError

__all__ = [
    "AGAIN",
    "DECODERS",
    "KERNELS",
    "VARIABLE",
    "NativeLibrary",
    "call",
    "choice",
    "decoders",
    "libraries",
    "load",
    "problem",
]

VARIABLE = "EASNN_KERNELS"
"""Environment variable with the choice of a run; see :func:`choice`."""

AGAIN = f"Install easnn again, with a C++ compiler ({COMPILER}): pip install -e ."
"""What to do about a library that cannot be used."""

WARNED = "EASNN_WARNED_OF_NATIVE_LIBRARIES"
"""Environment variable, set once a process has warned, for the processes that it starts."""

NO_MEMORY = -(2**63)
"""What a native function returns if it cannot allocate memory, as in export.h."""


def choice() -> Literal["plain", "native"] | None:
    """Return the choice of the environment; None: native libraries where they are available.

    Raises:
        ConfigError: if it is unknown.
    """
    match os.environ.get(VARIABLE, ""):
        case "":
            return None
        case "plain" | "native" as chosen:
            return chosen
        case other:
            raise ConfigError(f"{VARIABLE} must be plain or native, but is {other}.")


def decoders() -> ctypes.CDLL | None:
    """Return the native decoders; None if they are not available, or plain ones are chosen.

    Raises:
        ConfigError: if the choice of the environment is unknown.
    """
    return None if choice() == "plain" else load(DECODERS)


@cache
def load(library: NativeLibrary) -> ctypes.CDLL | None:
    """Load a library, once per process.

    Returns:
        The library; None if it is not there or was built differently, with a warning if it could
        have been built for this machine. Only the first process of a run warns, and only once.
    """
    found = _open(library)
    if isinstance(found, ctypes.CDLL):
        return found
    if library in libraries():
        _warn({library: found})
    return None


def problem(library: NativeLibrary) -> str | None:
    """Return why a library cannot be used, as the rest of a sentence; None if it can be used."""
    found = _open(library)
    return found if isinstance(found, str) else None


def call(library: ctypes.CDLL, name: str, *arguments: Any) -> int:
    """Call a native function.

    Args:
        library: the library.
        name: of the function, which returns 64 bits.
        arguments: of ctypes.

    Returns:
        What the function returns; 0 if its results are in the arguments only.

    Raises:
        MemoryError: if the function cannot allocate memory for its work.
    """
    function = getattr(library, name)
    function.restype = ctypes.c_int64
    result: int = function(*arguments)
    if result == NO_MEMORY:
        raise MemoryError(f"There is not enough memory for the native function {name}.")
    return result


@cache
def _open(library: NativeLibrary) -> ctypes.CDLL | str:
    """Return the library, or what is the matter with it."""
    if library not in libraries():
        return "cannot be built for this machine"
    unusable = _problem_of_file(library)
    if unusable is not None:
        return unusable
    try:
        return ctypes.CDLL(str(_path(library)))
    except OSError as error:
        return f"cannot be loaded ({error})"


def _problem_of_file(library: NativeLibrary) -> str | None:
    """Do as :func:`problem`, without loading: kernels need what torch has loaded."""
    try:
        content = _path(library).read_bytes()
    except FileNotFoundError:
        return "is not built"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if library.digest().to_bytes(8, "little") not in content:
        return "was built from other sources or with other options"
    return None


def _path(library: NativeLibrary) -> Path:
    return Path(__file__).parent / library.file


def _warn(found: dict[NativeLibrary, str]) -> None:
    """Warn of the problems that were found and of those of all other libraries, once per machine.

    Processes that this one starts inherit its environment. The ranks of a run do not start each
    other, so only the first one of the machine warns.
    """
    if os.environ.get(WARNED) or os.environ.get("LOCAL_RANK", "0") != "0":
        return
    os.environ[WARNED] = "1"
    of_files = {library: _problem_of_file(library) for library in libraries()}
    problems = {**{library: text for library, text in of_files.items() if text}, **found}
    slower = []
    if DECODERS in problems:
        slower.append("DAT and RAW files are read 4 to 14 times more slowly")
    if problems.keys() - {DECODERS}:
        slower.append("networks take about 1.5 times as long on a CPU")
    logger.warning(
        "Native libraries are not used: {}. Everything works without them, but {}. {}",
        ", ".join(f"{library.file} {text}" for library, text in problems.items()),
        " and ".join(slower),
        AGAIN,
    )
