"""Atomic writes and read-only memory maps of files."""

from __future__ import annotations

import errno
import json
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from easnn.utils.errors import DataError, OutputError


def make_directory(path: Path) -> Path:
    """Create ``path`` and its parents and check that files can be written there.

    Raises:
        OutputError: if it cannot be created or is not writable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OutputError(
            f"Cannot write to directory {path}: {error.strerror}. Choose another directory or free "
            "some space."
        ) from error
    return path


def refuse_existing(path: Path) -> None:
    """Raise :class:`OutputError` if ``path`` exists, so that it is not replaced."""
    if path.exists():
        raise OutputError(f"{path} exists already. Choose another name or remove it.")


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file that replaces ``path`` only when the block ends without an error.

    The bytes are written to a temporary file in the same directory, which is flushed to the disk
    and then renamed: a reader sees either the old file or the complete new one. The directory is
    flushed last, so that the new file is there after a power failure, too.

    Raises:
        OutputError: if the file cannot be written (no permission, no space left).
    """
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = Path(file.name)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
        flush(path.parent)
    except OSError as error:
        raise OutputError(
            f"Cannot write {path}: {error.strerror or error}. Nothing was replaced; free some "
            "space or choose another directory."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Flush a file, or the names in a directory, to the disk.

    Raises:
        OSError: if it cannot be flushed. Some file systems cannot flush directories, which is none.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def map_file(path: Path) -> mmap.mmap:
    """Return a read-only memory map of a file.

    Raises:
        DataError: if the file is missing, empty or cannot be read.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise DataError(f"{path} is empty (0 bytes). Copy or record it again.")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error


def file_stamp(path: Path) -> tuple[int, int]:
    """Return the size in bytes and the modification time in ns, to detect a changed file.

    Both are -1 if the file does not exist.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - pathlib is several times slower, and there are many files
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically.

    Raises:
        OutputError: if the file cannot be written.
    """
    with atomic_write(path) as file:
        file.write((json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
