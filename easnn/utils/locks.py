"""Locks on files and folders. They end with the process that holds them, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Be the only process in a block with this file, which is made if need be; wait for others to leave."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def only_one(folder: Path) -> Iterator[int | None]:
    """Try to be the only process in such a block with a folder, which stays as it is.

    The block gets the number of an open file, or None if another process is in one. Processes that inherit the
    file are in the block as well, until they end.
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
    """Hold a file, which is made if need be, together with others, until what is returned is closed.

    A process forked meanwhile holds it, too.
    """
    file = path.open("ab")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def is_held(path: Path) -> bool:
    """Tell whether a process, this one included, holds a file now."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
