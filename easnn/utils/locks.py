"""Locks on files and folders, released by the system when the process ends."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.util import register_after_fork
from pathlib import Path
from typing import IO

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""Errors of file systems that have no locks, such as some network folders."""


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


class LocksMissingError(Exception):
    """The file system has no locks."""


def lock_alone(path: Path) -> IO[bytes] | None:
    """Acquire an exclusive lock on a file, created if missing, without waiting.

    Unlike those of the other functions, this lock ends with this process, even if processes that
    :mod:`multiprocessing` forked in the meantime, such as data workers, still run. The holder may
    remove the file.

    Returns:
        The file, whose closing releases the lock; None if another process holds it.

    Raises:
        LocksMissingError: if the file system has no locks.
        OSError: if the file cannot be opened.
    """
    while True:
        file = path.open("ab")
        if not try_lock(file):
            file.close()
            return None
        if _is_at(file, path):
            register_after_fork(file, _close)
            return file
        file.close()  # the holder before removed the file after this process had opened it


def try_lock(file: IO[bytes]) -> bool:
    """Lock an open file without waiting; return whether no other process holds a lock on it.

    Raises:
        LocksMissingError: if the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise LocksMissingError from error
        raise
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _close(file: IO[bytes]) -> None:
    file.close()
