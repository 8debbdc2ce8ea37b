"""Locks on files and folders, released by the system when the process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, created if missing; wait until it is free."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def only_one(folder: Path) -> Iterator[int | None]:
    """Try to acquire an exclusive lock on a folder, without waiting.

    Yields an open file descriptor, or None if another process holds the lock. Processes that
    inherit the descriptor also hold the lock, until they end.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield descriptor
    finally:
        os.close(descriptor)


def hold(path: Path) -> IO[bytes]:
    """Acquire a shared lock on a file, created if missing; closing the returned file releases it.

    Processes forked in the meantime also hold the lock.
    """
    file = path.open("ab")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def is_held(path: Path) -> bool:
    """Return whether any process, including this one, holds a lock on a file."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
