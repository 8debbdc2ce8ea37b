"""One training at a time in a run directory: its lock, and the record of who holds it."""

from __future__ import annotations

import errno
import os
import shlex
import socket
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Self

from loguru import logger

from easnn.engine.run_directory import MARK, RunDirectory
from easnn.utils.distributed import barrier, is_main
from easnn.utils.errors import OutputError
from easnn.utils.files import make_directory, write_json
from easnn.utils.locks import LocksMissingError, lock_alone, try_lock

BEAT_S = 10.0
"""How often the owner renews the time of change of ``owner.json``."""

MISSED_BEATS = 3
"""An owner on another machine that lets this many of them pass has ended."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class RunOwner:
    """The right to write to a run directory; every process of a training enters it.

    The main process holds a lock on a file in the directory, which the system releases when the
    process ends, however it ends. ``owner.json`` says who it is. Locks of network folders may be
    missing, or known to one machine only. So ``owner.json`` also shows that its writer is alive, by
    its time of change: a training on another machine waits for a sign of life before it takes the
    directory of one that does not say that it has ended.

    Nothing is moved or replaced before :meth:`start`. Without it, the directory is left as it was.

    Args:
        path: the run directory.
        beat_s: time between two signs of life.

    Raises:
        OutputError: on entering, if another training owns the directory, if it holds something
            else, or if it cannot be written.
    """

    def __init__(self, path: Path, *, beat_s: float = BEAT_S) -> None:
        self._run = RunDirectory(path)
        self._beat_s = beat_s
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock: IO[bytes] | None = None
        self._record: dict[str, Any] = {}
        self._previous: dict[str, Any] = {}
        self._new_folders: list[Path] = []
        self._started = False

    def __enter__(self) -> Self:
        if is_main():
            self._acquire()
        barrier("the lock of the run directory")
        return self

    def __exit__(self, *_error: object) -> None:
        if not self._record:
            return
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if self._is_ours():
            if self._started:
                # If that fails, for example on a full disk, the end of the process tells as much.
                with suppress(OutputError):
                    write_json(self._run.owner, {**self._record, "ended": _now()})
            else:
                self._restore()
        if self._lock is not None:
            self._lock.close()

    def check_free(self) -> None:
        """Raise the error that entering would raise now; the directory is not touched.

        Every process of a training calls this.

        Raises:
            OutputError: as on entering.
        """
        if is_main():
            self._run.check_usable()
            path = self._run.path
            if path.is_dir() and not os.access(path, os.W_OK | os.X_OK):
                raise OutputError(
                    f"Cannot write to directory {path}: {os.strerror(errno.EACCES)}. Choose "
                    "another directory."
                )
            self._previous = self._run.record()
            locks, held = True, False
            if self._run.lock.exists():
                try:
                    with self._run.lock.open("ab") as file:
                        held = not try_lock(file)
                except LocksMissingError:
                    locks = False
            self._refuse_if_used(locks=locks, held=held)
        barrier("the check of the run directory")

    def start(self, *, resume: bool) -> RunDirectory:
        """Prepare the directory for the files of the run; every process calls this.

        Unless the run is resumed, the files of an earlier run of the same name are moved to the
        subdirectory ``earlier-1``, ``earlier-2``, …. Nothing is overwritten.

        Raises:
            OutputError: if a file cannot be moved, removed or written.
        """
        # A slower process may still read the files of an earlier run.
        barrier("the creation of the run directory")
        if is_main():
            self._run.remove_unfinished()
            if not resume:
                self._run.move_aside(self._previous)
            self._run.make_results()
            if resume and "run" in self._previous:
                self._record["run"] = self._previous["run"]
            write_json(self._run.owner, self._record)
            self._started = True
        barrier("the start of the run")
        return self._run

    def check(self) -> None:
        """Check that no other training has taken the directory.

        Raises:
            OutputError: if one has: this one must not write any more.
        """
        if self._record and not self._is_ours():
            taker = _description(self._run.record())
            raise OutputError(
                f"{self._run.path} was taken by another training: {taker}. This one stops without "
                "replacing its files."
            )

    def _acquire(self) -> None:
        self._run.check_usable()
        path = self._run.path
        self._new_folders = [folder for folder in (path, *path.parents) if not folder.exists()]
        make_directory(path)
        locks = True
        try:
            self._lock = lock_alone(self._run.lock)
        except LocksMissingError:
            locks = False
        except OSError as error:
            raise OutputError(
                f"Cannot lock {self._run.lock}: {error.strerror}. Choose another `output_dir`."
            ) from error
        self._previous = self._run.record()
        try:
            self._refuse_if_used(locks=locks, held=locks and self._lock is None)
        except OutputError:
            if self._lock is not None:
                self._lock.close()
            raise
        self._record = {"mark": MARK, **_identity(), "run": uuid.uuid4().hex}
        write_json(self._run.owner, self._record)
        self._thread = threading.Thread(target=self._beat, name="owner of the run", daemon=True)
        self._thread.start()

    def _refuse_if_used(self, *, locks: bool, held: bool) -> None:
        """Raise an error if another training owns the directory.

        Args:
            locks: whether its file system has locks.
            held: whether another process holds the lock.
        """
        if held or (self._may_live_elsewhere(locks=locks) and self._shows_life()):
            raise OutputError(
                f"{self._run.path} is in use by another training: {_description(self._previous)}. "
                "Wait until it ends, stop it, or choose another name (-expn)."
            )

    def _may_live_elsewhere(self, *, locks: bool) -> bool:
        """Return whether the last owner could be alive although this process got the lock."""
        last = self._previous
        if "token" not in last or "ended" in last:
            return False
        return not locks or last.get("machine") != _machine()

    def _shows_life(self) -> bool:
        """Wait for a sign of life of the last owner, and return whether there was one."""
        wait_s = MISSED_BEATS * self._beat_s
        logger.info(
            "{} does not say that its last training has ended: {}. Waiting up to {:.0f} s for a "
            "sign of life.",
            self._run.path,
            _description(self._previous),
            wait_s,
        )
        seen, end = self._stamp(), time.monotonic() + wait_s
        while time.monotonic() < end:
            time.sleep(self._beat_s / 5)
            if self._stamp() != seen:
                return True
        return False

    def _stamp(self) -> int:
        """Return the time of change of ``owner.json``, which opening it brings up to date."""
        try:
            with self._run.owner.open("rb") as file:
                return os.fstat(file.fileno()).st_mtime_ns
        except OSError:
            return -1

    def _beat(self) -> None:
        while not self._ended.wait(self._beat_s):
            if self._is_ours():
                # A folder that is away for a moment must not end a training; `check` comes later.
                with suppress(OSError):
                    os.utime(self._run.owner)

    def _is_ours(self) -> bool:
        """Return whether no other training has written ``owner.json`` since."""
        return self._run.record().get("token", self._record["token"]) == self._record["token"]

    def _restore(self) -> None:
        """Leave the directory as it was before the lock."""
        if self._previous:
            write_json(self._run.owner, self._previous)
            return
        self._run.owner.unlink(missing_ok=True)
        if self._new_folders:
            self._run.lock.unlink(missing_ok=True)
        with suppress(OSError):  # something else lies in it by now
            for folder in self._new_folders:
                folder.rmdir()


def _identity() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": os.getpid(),
        "since": _now(),
        "command": " ".join((sys.argv[0], *map(shlex.quote, sys.argv[1:]))),  # [0]: `easnn train`
        "token": uuid.uuid4().hex,
    }


def _machine() -> str:
    """Return what distinguishes this machine, as long as it runs: its locks end with it."""
    try:
        return _BOOT_ID.read_text("utf-8").strip()
    except OSError:  # not on Linux
        return socket.gethostname()


def _now() -> str:
    return datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")


def _description(record: Mapping[str, Any]) -> str:
    """Return who a record names, for messages."""
    if "token" not in record:
        return "it has not said yet which"
    return (
        f"process {record.get('pid')} on {record.get('host')}, since {record.get('since')} "
        f"({record.get('command')})"
    )
