"""Settings of the C allocator."""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of ``mallopt`` (glibc, malloc.h)."""

LARGEST = 2**31 - 1

OWN_SETTINGS = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
"""Environment variables with which a user configures glibc's allocator."""


def reuse_freed_memory() -> bool:
    """Let this process and its forks keep freed memory for later allocations.

    By default, glibc requests each large block from the operating system and returns it when it is
    freed. Every activation of a network on the CPU then costs a page fault and a zeroed page for
    each 4 KiB. The results of a computation do not change.

    Returns:
        Whether it was done: not without glibc, and not if the environment configures the allocator.
    """
    if any(name in os.environ for name in OWN_SETTINGS):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, LARGEST))
