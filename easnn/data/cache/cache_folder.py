"""A bounded folder of stores that processes share."""

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
"""Of the files of a store: its database and what SQLite keeps beside it, a mark, and what its users hold."""


@dataclass(frozen=True)
class CacheFolder:
    """A folder of named stores, one file of :class:`~easnn.data.cache.store.FrameStore` each.

    Together they take at most ``limit_bytes``. A store in use is never removed; of the others, the one that
    was not used for the longest time goes first.

    Attributes:
        path: the folder.
        limit_bytes: how much all stores together may take.
    """

    path: Path
    limit_bytes: int

    def make(self) -> None:
        """Make the folder.

        Raises:
            OutputError: if nothing can be written there.
        """
        make_directory(self.path)

    def database(self, name: str) -> Path:
        """Return the database of a store."""
        return self.path / f"{name}.db"

    def locked(self) -> AbstractContextManager[None]:
        """Be the only process that makes or removes a store."""
        return exclusive(self.path / "folder")

    def use(self, name: str) -> IO[bytes]:
        """Take a store into use, until what is returned is closed; a damaged one that nobody uses is removed.

        Raises:
            OutputError: if the folder cannot be written.
        """
        try:
            with self.locked():
                if self._mark(name).exists() and not is_held(self._held(name)):
                    self._remove(name)
                held = hold(self._held(name))
                os.utime(self._held(name))
                return held
        except OSError as error:
            raise OutputError(
                f"Cannot keep a cache in {self.path}: {error.strerror}. Choose another `cache_dir` on a disk of "
                "this machine, or leave out --cache."
            ) from error

    def size_bytes(self, name: str) -> int:
        """Return how much a store takes; nothing, if somebody removed the folder."""
        return sum(size for path, size in self._sizes().items() if path.startswith(f"{name}."))

    def room_bytes(self, name: str) -> int:
        """Return how much a store may take, the others being as they are."""
        others = (size for path, size in self._sizes().items() if not path.startswith(f"{name}."))
        return self.limit_bytes - sum(others)

    def remove_oldest_unused(self) -> bool:
        """Remove the store that nobody uses and nobody has used for the longest time; tell if there is one."""
        with self.locked():
            held = sorted(self.path.glob("*.lock"), key=lambda path: path.stat().st_mtime_ns)
            name = next((path.stem for path in held if not is_held(path)), None)
            if name is not None:
                self._remove(name)
            return name is not None

    def remove(self, name: str) -> None:
        """Remove a store, also while it is in use: who has it open goes on with what it had."""
        with self.locked():
            self._remove(name)

    def mark_damaged(self, name: str) -> bool:
        """Have a store removed before its next use; tell whether nobody did so before."""
        try:
            self._mark(name).touch(exist_ok=False)
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
                with suppress(FileNotFoundError):  # removed just now
                    sizes[file.name] = file.stat().st_size
        return sizes

    def _held(self, name: str) -> Path:
        return self.path / f"{name}.lock"

    def _mark(self, name: str) -> Path:
        return self.path / f"{name}.damaged"
