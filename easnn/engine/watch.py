"""Naming the process that is lost, or that keeps the others waiting, within a bounded time."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Self

import torch.distributed as dist

from easnn.utils.distributed import Standing, rank, standing, world_size

BEAT_S = 1.0
"""Time between two signs of life; shorter with a short timeout."""

EXPLANATION_S = 5.0
"""How long a process whose connection broke looks for the process that was lost."""

_FAILURE = "easnn/failure"
_LOST_CONNECTION = re.compile(
    r"gloo|NCCL|ProcessGroup|TCPStore|Connection (reset|closed|refused)|Broken pipe"
)


@dataclass(frozen=True)
class SignOfLife:
    """What a process tells the others about itself.

    Attributes:
        rank: its rank.
        host: name of its machine.
        pid: its number there.
        place: what it works on.
        collectives: how many collective operations it has begun.
        beat: number of this sign.
    """

    rank: int
    host: str
    pid: int
    place: str = "the start of the run"
    collectives: int = 0
    beat: int = 0

    @property
    def process(self) -> str:
        """Name of the process in messages."""
        return f"Process {self.rank} (pid {self.pid} on {self.host})"


@dataclass(frozen=True)
class Sighting:
    """The last sign of life of a process, and how long ago it came, in seconds."""

    sign: SignOfLife
    silent_s: float


def verdict(
    here: SignOfLife,
    waited_s: float,
    others: Sequence[Sighting],
    *,
    timeout_s: float,
    fresh_s: float = 3 * BEAT_S,
) -> str | None:
    """Return which process is lost or keeps the others waiting, as a message; None if none does.

    A process is lost if it gives no sign of life. If this process waits in a collective operation,
    the processes that have begun fewer of them keep it waiting.

    Args:
        here: this process.
        waited_s: how long it has been in a collective operation; 0 if it is in none.
        others: the other processes.
        timeout_s: how long a process may be silent or wait.
        fresh_s: up to which age a sign of life tells where a process is.
    """
    for other in others:
        if other.silent_s > timeout_s:
            return _lost(other, timeout_s)
    if waited_s <= timeout_s:
        return None
    if any(other.silent_s > fresh_s for other in others):
        return None  # what it told is no longer true: it goes on, or it is lost
    behind = [o.sign for o in others if o.sign.collectives < here.collectives]
    if not behind:
        return (
            f"All processes have waited for one another for more than {timeout_s:g} s, in "
            f"{here.place}. Check the network between them; `--timeout` sets the limit."
        )
    first = min(behind, key=lambda sign: sign.collectives)
    return (
        f"{first.process} hangs: the others have waited for it for more than {timeout_s:g} s. It "
        f"is in {first.place}. See what it does (`py-spy dump --pid {first.pid}`) and whether its "
        "disks answer; `--timeout` sets the limit."
    )


class Watch:
    """Watches the processes of a run, from threads of each of them, until its ``with`` block ends.

    Each process gives signs of life in the run's store and reads those of the others. A process
    that finds one lost or hanging, or hears that one failed, ends itself: its main thread may wait
    in an operation that nothing interrupts.

    Args:
        timeout_s: how long a process may be silent or keep others waiting.
        end: ends this process with a message; called at most once, from a thread.
        note: called with each sign of life of this process.
    """

    def __init__(
        self,
        timeout_s: float,
        end: Callable[[str], None],
        note: Callable[[SignOfLife], None] = lambda sign: None,
    ) -> None:
        self._timeout_s = timeout_s
        self._end = end
        self._note = note
        self._beat_s = min(BEAT_S, timeout_s / 5)
        self._standing: Standing = standing()
        self._own = SignOfLife(rank(), socket.gethostname(), os.getpid())
        self._address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self._lock = threading.Lock()
        self._others: dict[int, tuple[SignOfLife, float]] = {}  # by rank: last sign, and when
        self._answered = time.monotonic()  # when the store answered last
        self._failure: str | None = None  # of any process
        self._told = threading.Event()  # whether all know of it
        self._store_lost = threading.Event()
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=f"watch-{work.__name__}", daemon=True)
            for work in (self._talk, self._judge)
        ]

    def __enter__(self) -> Self:
        self._note(self._own)  # before this process can be killed
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_details: object) -> None:
        self._done.set()
        self._threads[0].join(EXPLANATION_S)  # it tells the others; a lost store does not answer
        if error is not None and issubclass(error, Exception):
            time.sleep(2 * self._beat_s)  # they have to hear it: the store may be in this process

    def tell(self, message: str) -> None:
        """Tell the other processes that this one failed."""
        with self._lock:
            self._failure = self._failure or f"{self._own.process} failed: {message}"

    def explain(self, error: Exception) -> str:
        """Return why a collective operation failed, as a message; takes a few seconds at most."""
        deadline = time.monotonic() + EXPLANATION_S
        while time.monotonic() < deadline:
            time.sleep(self._beat_s / 2)
            with self._lock:
                failure = self._failure
            if failure is not None:
                return failure
            if self._store_lost.is_set():
                return self._lost_store()
            gone = [s for s in self._sightings() if s.silent_s > 3 * self._beat_s]
            if gone and time.monotonic() - self._answered < 2 * self._beat_s:
                return _lost(max(gone, key=lambda s: s.silent_s), 3 * self._beat_s)
        return (
            f"The connection to another process broke in {self._standing.place}: "
            f"{first_line(error)} Check the machines and the network between them."
        )

    def _talk(self) -> None:
        """Give signs of life and read those of the others, until the store is lost."""
        host, port = self._address
        keys = {r: f"easnn/sign/{r}" for r in range(world_size()) if r != self._own.rank}
        own_key = f"easnn/sign/{self._own.rank}"
        try:
            store = dist.TCPStore(  # type: ignore[attr-defined]
                host, port, is_master=False, timeout=timedelta(seconds=self._timeout_s)
            )
            while True:
                finished = self._done.is_set()
                self._own = replace(
                    self._own,
                    place=self._standing.place,
                    collectives=self._standing.collectives,
                    beat=self._own.beat + 1,
                )
                self._note(self._own)
                store.set(own_key, json.dumps(asdict(self._own)))
                signs = [
                    SignOfLife(**json.loads(text)) for text in store.multi_get([*keys.values()])
                ]
                heard = store.get(_FAILURE).decode() if store.check([_FAILURE]) else None
                with self._lock:
                    failure, self._failure = self._failure, self._failure or heard
                    for sign in signs:
                        last = self._others.get(sign.rank)
                        if last is None or last[0].beat != sign.beat:
                            self._others[sign.rank] = sign, time.monotonic()
                    self._answered = time.monotonic()
                if failure is not None and heard is None:
                    store.set(_FAILURE, failure)
                if failure is not None or heard is not None:
                    self._told.set()
                if finished:
                    return
                self._done.wait(self._beat_s)
        except RuntimeError:  # the other thread says so
            self._store_lost.set()

    def _judge(self) -> None:
        """End this process if another one failed, is lost or hangs."""
        while not self._done.wait(self._beat_s):
            message = self._message()
            if message is not None:
                self._told.wait(2 * self._beat_s)
                time.sleep(2 * self._beat_s)  # for the others to hear it
                if not self._done.is_set():
                    self._end(message)
                return

    def _message(self) -> str | None:
        since = self._standing.waiting_since
        waited_s = 0.0 if since is None else time.monotonic() - since
        found = verdict(
            self._own,
            waited_s,
            self._sightings(),
            timeout_s=self._timeout_s,
            fresh_s=3 * self._beat_s,
        )
        if self._store_lost.is_set() or time.monotonic() - self._answered > self._timeout_s:
            found = self._lost_store()
        with self._lock:
            self._failure = self._failure or found
            return self._failure

    def _lost_store(self) -> str:
        host, port = self._address
        silent_s = min(time.monotonic() - self._answered, self._timeout_s)
        return (
            f"Process 0 or its machine was lost: {host}:{port} has not answered for "
            f"{silent_s:.0f} s, in {self._standing.place}. Check its last message, its machine and "
            "the network."
        )

    def _sightings(self) -> list[Sighting]:
        now = time.monotonic()
        with self._lock:
            return [Sighting(sign, now - seen) for sign, seen in self._others.values()]


def is_lost_connection(error: RuntimeError) -> bool:
    """Return whether an error of torch says that the connection to another process broke."""
    return isinstance(error, dist.DistError) or bool(_LOST_CONNECTION.search(str(error)))


def first_line(error: Exception) -> str:
    """Return the first line of an error of torch, which may go on with a stack trace."""
    line = str(error).splitlines()[0].rstrip()
    return line if line.endswith(".") else f"{line}."


def _lost(other: Sighting, timeout_s: float) -> str:
    return (
        f"{other.sign.process} was lost: it has given no sign of life for more than {timeout_s:g} "
        f"s. It was last seen in {other.sign.place}. Check its last message, its machine, its "
        "memory and the network."
    )
