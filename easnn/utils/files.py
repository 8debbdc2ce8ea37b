"""Atomic writes, temporary folders and read-only memory maps of files."""

from __future__ import annotations

import errno
import json
import mmap
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any

from easnn.utils.errors import DataError, OutputError
from easnn.utils.locks import LocksMissingError, try_lock

_UNFINISHED = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}")
"""Name of the temporary file of :func:`atomic_write`, with the name of the file."""

ABANDONED_S = 3600.0
"""Nobody writes a file that has not changed for so long, even on another machine."""


def expand_home(path: str | os.PathLike[str]) -> str:
    """Return a path with the home folder in place of a ``~`` or ``~user`` at its start.

    A path whose home folder is unknown stays as it is.
    """
    return os.path.expanduser(path)  # noqa: PTH111 - pathlib raises an error instead


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


def refuse_inside(output: Path, source: Path) -> None:
    """Check that a folder to write does not lie in the one that is read, also not by links.

    What is written there would be read as a part of it, now or later.

    Raises:
        OutputError: if it does, or is the same.
    """
    if output.resolve().is_relative_to(source.resolve()):
        raise OutputError(
            f"Nothing can be written to {output}, because it is in {source}, which is read. Choose "
            "a folder outside of it."
        )


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file that replaces ``path`` only when the block ends without an error.

    The bytes are written to a temporary file in the same directory, which is flushed to the disk
    and then renamed: a reader sees either the old file or the complete new one. The directory is
    flushed last, so that the new file is there after a power failure, too. If the process is
    killed, the temporary file stays: :func:`remove_unfinished`. It is locked while it is written.

    Raises:
        OutputError: if the file cannot be written (no permission, no space left).
    """
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = Path(file.name)
            with suppress(LocksMissingError):  # then its age tells that nobody writes it
                try_lock(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
        flush(path.parent)
    except OSError as error:
        advice = (
            f"create {path.parent}" if isinstance(error, FileNotFoundError) else "free some space"
        )
        raise OutputError(
            f"Cannot write {path}: {error.strerror or error}. Nothing was replaced; {advice} or "
            "choose another directory."
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


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Make a folder for the block, where the environment variable ``TMPDIR`` says.

    Args:
        prefix: beginning of its name.

    Raises:
        OutputError: if there is no folder for temporary files, or none can be made there.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(
            f"Cannot make a temporary folder: {error.strerror}. Set TMPDIR to a folder with some "
            "space that can be written to."
        ) from error
    with folder as name:
        yield Path(name)


def name_of_unfinished(name: str) -> str | None:
    """Return the name of the file for which ``name`` is a temporary one of :func:`atomic_write`.

    None if ``name`` is no name of a temporary file.
    """
    match = _UNFINISHED.fullmatch(name)
    return None if match is None else match["name"]


def remove_unfinished(folder: Path, *patterns: str, alone: bool = False) -> list[Path]:
    """Remove what killed processes left in a folder while they wrote files with given names.

    Args:
        folder: the folder; nothing is done if it does not exist.
        patterns: names of the files, in which ``*`` stands for any characters.
        alone: whether the caller knows that no other process writes files with these names.
            Otherwise, a temporary file is removed only if no process of this machine has locked it
            and it has not changed for :data:`ABANDONED_S`.

    Returns:
        The temporary files that were removed.

    Raises:
        OutputError: if one cannot be removed.
    """
    removed = []
    try:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            name = name_of_unfinished(path.name)
            if (
                name is not None
                and any(fnmatchcase(name, pattern) for pattern in patterns)
                and path.is_file()
                and (alone or _is_abandoned(path))
            ):
                path.unlink(missing_ok=True)
                removed.append(path)
    except OSError as error:
        raise OutputError(
            f"Cannot remove unfinished files from {folder}: {error.strerror}. Check who may write "
            "there."
        ) from error
    return removed


def _is_abandoned(path: Path) -> bool:
    try:
        # Network folders can lock only files that are open for writing.
        with path.open("ab") as file, suppress(LocksMissingError):
            if not try_lock(file):
                return False
        return time.time() - path.stat().st_mtime > ABANDONED_S
    except (FileNotFoundError, PermissionError):  # its writer has finished it, or it is another's
        return False


def map_file(path: Path) -> mmap.mmap:
    """Return a read-only memory map of a file.

    Raises:
        DataError: if the file is missing, empty, not a regular file or cannot be read.
    """
    try:
        refuse_special(path)
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise DataError(f"{path} is empty (0 bytes). Copy or record it again.")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error


def refuse_special(path: Path) -> None:
    """Raise an error if a path leads to a named pipe, a socket or a device.

    To open or read one of these may wait for ever. Folders and missing files pass: to open them is
    an error of its own.

    Raises:
        DataError: if it does.
    """
    if (kind := special_kind(path)) is not None:
        raise DataError(f"{path} is not a regular file, but {kind}. Give a file instead.")


def special_kind(path: Path) -> str | None:
    """Return what is at a path, with its article, if it is a pipe, a socket or a device."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # missing, or a name that no file can have
        return None
    kinds = (
        (stat.S_ISFIFO, "a named pipe (FIFO)"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((kind for is_kind, kind in kinds if is_kind(mode)), None)


def read_text(path: Path) -> str:
    """Return the content of a UTF-8 text file, without the byte order mark that it may begin with.

    Editors on Windows write this mark.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not UTF-8.
    """
    return path.read_text(encoding="utf-8-sig")


def is_file(path: Path) -> bool:
    """Return whether a file exists; False also for names that no file can have, such as long ones.

    ``Path.is_file`` raises an ``OSError`` for some of these.
    """
    return os.path.isfile(path)  # noqa: PTH113


def is_apple_double(name: str) -> bool:
    """Return whether a file of this name is what macOS leaves beside another one.

    macOS writes attributes of ``NAME`` to ``._NAME`` on disks and in archives that do not keep
    them. Such a file has the suffix of the other one, but nothing of its content.
    """
    return name.startswith("._")


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
