"""The code that frames and labels follow from, as a part of what they are kept by."""

from __future__ import annotations

import hashlib
import inspect
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]
ROOMS = ("events", "representations", "data")
"""Rooms whose code decides what a file on the disk becomes."""


def code_digest(*parts: object) -> str | None:
    """Return a digest of all code and tables in these rooms and of the files that define some objects' classes.

    So nothing that other code made is ever taken for what this code would make.

    Args:
        parts: objects whose classes may be defined elsewhere, such as in an experiment file.

    Returns:
        The digest, or None if a class is defined in no file.
    """
    digest = hashlib.blake2b(_rooms_digest(), digest_size=16)
    for part in parts:
        for kind in type(part).__mro__:
            if kind.__module__ in ("builtins", "abc", "typing"):
                continue
            try:
                digest.update(Path(inspect.getfile(kind)).read_bytes())
            except (TypeError, OSError):  # made in a notebook or by a program
                return None
    return digest.hexdigest()


@cache
def _rooms_digest() -> bytes:
    digest = hashlib.blake2b()
    for room in ROOMS:
        for path in sorted((PACKAGE / room).rglob("*")):
            if path.suffix in (".py", ".json"):
                digest.update(f"{path.relative_to(PACKAGE)}\n".encode() + path.read_bytes())
    return digest.digest()
