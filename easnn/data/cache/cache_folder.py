"""A folder of frame stores with a maximum size, shared by several processes."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from easnn.utils.errors import OutputError
from easnn.utils.files import make_directory
from easnn.utils.locks import exclusive, hold, is_held

SUFFIXES = (".db", ".db-wal", ".db-shm", ".damaged", ".lock")
"""Files of a store: the database, SQLite's own files, the mark of damage, and the lock."""


@dataclass(frozen=True)
class CacheFolder:
    """A folder of named stores, each with the files of one :class:`FrameStore`.

    A store in use is never removed to make room; of the others, the least recently used one is
    removed first.

    Attributes:
        path: the folder.
        limit_bytes: maximum size of all stores together.
    """

    path: Path
    limit_bytes: int

    def make(self) -> None:
        """Create the folder.

        Raises:
            OutputError: if it cannot be written.
        """
        make_directory(self.path)

    def database(self, name: str) -> Path:
        """Return the path of a store's database."""
        return self.path / f"{name}.db"

    def locked(self) -> AbstractContextManager[None]:
        """Exclude other processes from creating and removing stores."""
        return exclusive(self.path / "folder")

    def use(self, name: str) -> IO[bytes]:
        """Lock a store as used by this process; a damaged one that is not in use is removed first.

        Returns:
            The lock file; closing it ends the use.

        Raises:
            OutputError: if the folder cannot be written.
        """
        try:
            with self.locked():
                if self._damage_path(name).exists() and not is_held(self._lock_path(name)):
                    self._remove(name)
                lock = hold(self._lock_path(name))
                os.utime(self._lock_path(name))
                return lock
        except OSError as error:
            raise OutputError(
                f"Cannot keep a cache in {self.path}: {error.strerror}. Choose another `cache_dir` "
                "on a disk of this machine, or leave out --cache."
            ) from error

    def size_bytes(self, name: str) -> int:
        """Return the size of a store, 0 if it has been removed."""
        return sum(size for path, size in self._sizes().items() if path.startswith(f"{name}."))

    def room_bytes(self, name: str) -> int:
        """Return the maximum size of a store, given the sizes of the others."""
        others = (size for path, size in self._sizes().items() if not path.startswith(f"{name}."))
        return self.limit_bytes - sum(others)

    def remove_oldest_unused(self) -> bool:
        """Remove the least recently used store that is not in use; return whether there was one."""
        with self.locked():
            locks = sorted(self.path.glob("*.lock"), key=lambda path: path.stat().st_mtime_ns)
            name = next((path.stem for path in locks if not is_held(path)), None)
            if name is not None:
                self._remove(name)
            return name is not None

    def remove(self, name: str) -> None:
        """Remove a store, even if it is in use: processes that have it open keep the open files."""
        with self.locked():
            self._remove(name)

    def mark_damaged(self, name: str) -> bool:
        """Mark a store for removal before its next use; return whether it was not marked before."""
        try:
            self._damage_path(name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _remove(self, name: str) -> None:
        for suffix in SUFFIXES:
            (self.path / f"{name}{suffix}").unlink(missing_ok=True)

    def _sizes(self) -> dict[str, int]:
        sizes = {}
        with suppress(FileNotFoundError), os.scandir(self.path) as files:
            for file in files:
                with suppress(FileNotFoundError):  # removed by another process
                    sizes[file.name] = file.stat().st_size
        return sizes

    def _lock_path(self, name: str) -> Path:
        return self.path / f"{name}.lock"

    def _damage_path(self, name: str) -> Path:
        return self.path / f"{name}.damaged"
