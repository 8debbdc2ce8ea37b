"""Compressed frames by key in an SQLite database that any number of processes may use."""

from __future__ import annotations

import os
import sqlite3
import struct
from enum import Enum
from functools import cache
from typing import Any

import numpy as np
import torch
import zstandard
from loguru import logger
from torch import Tensor

from easnn.data.cache.cache_folder import CacheFolder

COMPRESSION_LEVEL = 1
"""Higher levels of zstd take several times as long and save nothing on frames of counts."""

PAGE_BYTES = 8192
WRITE_AHEAD_PAGES = 512
"""Length of SQLite's write-ahead log at which it is copied to the database."""
RESERVE_BYTES = 2 * WRITE_AHEAD_PAGES * PAGE_BYTES
"""Space that is reserved for the write-ahead log."""
WRITE_TIMEOUT_S = 10.0
"""Longest time that a process waits for others that write."""

DAMAGE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_HEADER = struct.Struct("<4s5I")  # data type, and the shape [Tl,Tm,C,H,W]


def pack_frame(events: Tensor) -> bytes:
    """Return a frame ``[Tl,Tm,C,H,W]`` compressed, with a checksum."""
    values = np.ascontiguousarray(events.numpy())
    header = _HEADER.pack(values.dtype.str.encode(), *values.shape)
    return _compressor().compress(header + values.tobytes())


def unpack_frame(packed: bytes) -> Tensor:
    """Return the frame that :func:`pack_frame` packed, in memory of its own.

    Raises:
        ValueError: if these are not exactly the bytes that it returned.
    """
    try:
        content = bytearray(zstandard.ZstdDecompressor().decompress(packed))
        dtype, *shape = _HEADER.unpack_from(content)
        values = np.frombuffer(content, dtype.rstrip(b"\0").decode(), offset=_HEADER.size)
        return torch.from_numpy(values.reshape(shape))
    except (zstandard.ZstdError, struct.error, TypeError, MemoryError) as error:
        raise ValueError(f"no packed frame: {error}") from error


@cache
def _compressor() -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True)


class PutResult(Enum):
    """Whether a frame was stored."""

    STORED = "stored"
    FULL = "no room"
    FAILED = "the store cannot be written now"


class FrameStore:
    """A store of a :class:`CacheFolder`: it returns exactly the frames that were put in, or none.

    SQLite's journal keeps the database intact when a process is killed while writing. Each entry
    contains its key and a checksum; one that does not match counts as missing. A database that
    cannot be used is not used again in this run, with one warning, and a damaged one is removed
    before its next use.

    Each process opens its own connection when it first needs one, also after a fork.

    Args:
        folder: the folder that the store is in.
        name: its name there.
    """

    def __init__(self, folder: CacheFolder, name: str) -> None:
        self.folder = folder
        self.name = name
        self._connections: dict[int, sqlite3.Connection | None] = {}  # by process; None: not usable
        self._full = False

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_connections": {}}

    def get(self, key: bytes) -> Tensor | None:
        """Return a copy of the frame with a key, or None if it is missing or damaged."""
        connection = self._connection()
        if connection is None:
            return None
        try:
            row = connection.execute("SELECT value FROM frames WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            self._failed(error)
            return None
        if row is None or not isinstance(row[0], bytes) or not row[0].startswith(key):
            return None
        try:
            return unpack_frame(row[0][len(key) :])
        except ValueError:  # damaged: it is computed again and replaced
            return None

    def put(self, key: bytes, events: Tensor) -> PutResult:
        """Store a frame.

        If there is no room, stores that are not in use are removed. If that does not help, this
        process stores no further frames. Nothing is evicted, because every frame is read once per
        epoch.

        Args:
            key: its key; all keys have the same length.
            events: the frame ``[Tl,Tm,C,H,W]``.
        """
        connection = self._connection()
        if connection is None:
            return PutResult.FAILED
        if self._full:
            return PutResult.FULL
        value = key + pack_frame(events)
        try:
            while not self._full and not self._has_room(connection, len(value)):
                self._full = not self.folder.remove_oldest_unused()
            if self._full:
                return PutResult.FULL
            connection.execute(
                "INSERT INTO frames (key, value) VALUES (?, ?) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, value),
            )
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:  # the disk is full
                self._full = True
                return PutResult.FULL
            self._failed(error)
            return PutResult.FAILED
        return PutResult.STORED

    def count(self) -> int:
        """Return the number of frames."""
        connection = self._connection()
        if connection is None:
            return 0
        try:  # entries are numbered in order and never deleted
            return int(
                connection.execute("SELECT COALESCE(MAX(number), 0) FROM frames").fetchone()[0]
            )
        except sqlite3.Error as error:
            self._failed(error)
            return 0

    def close(self) -> None:
        """Close the connection of this process, which does not use the store any more."""
        connection = self._connections.get(os.getpid())
        self._connections[os.getpid()] = None
        if connection is not None:
            connection.close()

    def _connection(self) -> sqlite3.Connection | None:
        process = os.getpid()
        if process not in self._connections:
            try:
                with self.folder.locked():  # SQLite does not wait while another process creates it
                    self._connections[process] = self._connect()
            except (sqlite3.Error, OSError) as error:
                self._connections[process] = None
                self._failed(error)
        return self._connections[process]

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.folder.database(self.name),
            timeout=WRITE_TIMEOUT_S,
            isolation_level=None,  # every statement is a transaction
            check_same_thread=False,
        )
        connection.text_factory = bytes  # damage may turn a value into text that is not valid UTF-8
        for pragma in (
            f"page_size = {PAGE_BYTES}",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            f"wal_autocheckpoint = {WRITE_AHEAD_PAGES}",
            f"journal_size_limit = {RESERVE_BYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS frames "
            "(number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL)"
        )
        return connection

    def _has_room(self, connection: sqlite3.Connection, value_bytes: int) -> bool:
        """Return whether the folder has room for an entry."""
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        needed = (pages - free) * PAGE_BYTES + value_bytes + RESERVE_BYTES
        return needed <= self.folder.room_bytes(self.name)

    def _failed(self, error: sqlite3.Error | OSError) -> None:
        """Stop using the store, unless it is only busy."""
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_BUSY:
            return
        self._connections[os.getpid()] = None
        path = self.folder.database(self.name)
        if code not in DAMAGE_CODES:
            logger.warning(
                "The cache {} cannot be used: {}. Frames are computed again.", path, error
            )
        elif self._mark_damaged():
            logger.warning(
                "The cache {} is damaged: {}. Frames are computed again; the next run replaces it.",
                path,
                error,
            )

    def _mark_damaged(self) -> bool:
        """Mark the store for removal; return whether no other process has done so."""
        try:
            return self.folder.mark_damaged(self.name)
        except OSError:  # the folder has been removed or is read-only: warn
            return True
