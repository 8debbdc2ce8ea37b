"""Writing files so that a crash never leaves one that looks whole."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from easnn.utils.errors import OutputError


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
            f"Cannot write to directory {path}: {error.strerror}. Choose another directory or free it."
        ) from error
    return path


def refuse_existing(path: Path) -> None:
    """Raise :class:`OutputError` if there is such a file: it would be replaced."""
    if path.exists():
        raise OutputError(f"{path} exists already. Choose another name or remove it.")


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file that replaces ``path`` only when the block ends without an error.

    The bytes go to a temporary file in the same directory, are flushed to the disk, and are then renamed: a
    reader sees either the old file or the whole new one.

    Raises:
        OutputError: if the file cannot be written (no permission, no space left).
    """
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise OutputError(
            f"Cannot write {path}: {error.strerror or error}. Nothing was replaced; free some space or "
            "choose another directory."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def file_stamp(path: Path) -> tuple[int, int]:
    """Return the size in bytes and the time of the last change in ns, which tell a changed file.

    Both are -1 if the file is not there.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - pathlib takes several times as long, and files are many
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
