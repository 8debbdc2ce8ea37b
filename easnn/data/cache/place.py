"""Where caches lie, and how large they may become."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from easnn.utils.device import free_memory_bytes

MEMORY_FOLDER = Path("/dev/shm")
MEMORY_PART = 0.5
"""Part of the free memory that a cache in memory may take at most; the workers' batches lie there, too."""


def default_cache_dir() -> Path:
    """Return ``easnn`` in the user's folder of caches: ``$XDG_CACHE_HOME``, or else ``~/.cache``."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(chosen) if Path(chosen).is_absolute() else Path.home() / ".cache") / "easnn"


def memory_cache_dir() -> Path:
    """Return this user's folder of files that lie in memory; on the disk, where the system has none such."""
    parent = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else Path(tempfile.gettempdir())
    return parent / f"easnn-{os.getuid()}"


def memory_limit_bytes(folder: Path, asked_bytes: int) -> int:
    """Return how large a cache in memory may become: what is asked, or half of what is free.

    Args:
        folder: an existing folder in memory.
        asked_bytes: what is asked.
    """
    space = os.statvfs(folder)
    free = min(space.f_bavail * space.f_frsize, free_memory_bytes())
    return min(asked_bytes, int(MEMORY_PART * free))
