"""Fingerprint of the code that frames and labels depend on; it is part of the keys of caches."""

from __future__ import annotations

import hashlib
import inspect
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]
ROOMS = ("config", "events", "representations", "data")
"""Rooms whose code determines the frames and labels that are made from files."""


def code_fingerprint(*objects: object) -> str | None:
    """Return a digest of the code in these rooms and of the files that define the objects' classes.

    It is part of the keys of caches, so an entry that other code has written is never used.

    Args:
        objects: their classes may be defined elsewhere, such as in an experiment file.

    Returns:
        The digest, or None if a class is not defined in a file.
    """
    digest = hashlib.blake2b(_rooms_digest(), digest_size=16)
    for instance in objects:
        for kind in type(instance).__mro__:
            if kind.__module__ in ("builtins", "abc", "typing"):
                continue
            try:
                digest.update(Path(inspect.getfile(kind)).read_bytes())
            except (TypeError, OSError):  # defined in a notebook or at run time
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
