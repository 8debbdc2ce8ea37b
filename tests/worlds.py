"""Worlds of several processes that cost little: they are forked from one that has imported easnn.

They join their world as under torchrun, by the variables of their environment.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from easnn.engine import launch
from easnn.utils.errors import EasnnError

CABLE = "cable"
"""Name of the network card in each of the networks."""

LATER = ("torch._dynamo", "faster_coco_eval")
"""What trainings import late. Torch imports its compiler when the first optimizer is built."""

NEW_NETWORK = 0x40000000  # CLONE_NEWNET


class Ended(NamedTuple):
    """How a process ended: its exit code, its result or the message of its error."""

    code: int | None
    said: Any


class World:
    """Processes that run a function; every one of them is ended with the world.

    Args:
        main: a function of a module of the tests.
        args: its arguments.
        size: the number of processes.
        folder: for what the processes print.
        address: where process 0 can be reached.
        networks: names of network namespaces, one for each process; none: that of the test.
        timeout_s: as in :func:`easnn.engine.launch`.
    """

    def __init__(
        self,
        main: Callable[..., Any],
        args: tuple[Any, ...],
        size: int,
        folder: Path,
        *,
        address: str = "localhost",
        networks: Sequence[str] = (),
        timeout_s: float = 60.0,
    ) -> None:
        context = fork_server()
        port = free_port()
        self._folder = folder
        self._pipes: list[Connection] = []
        self.processes = []
        path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", path)  # of the server, which starts with the first process
            for rank in range(size):
                environment = {
                    "RANK": str(rank),
                    "WORLD_SIZE": str(size),
                    "LOCAL_RANK": "0" if networks else str(rank),
                    "LOCAL_WORLD_SIZE": "1" if networks else str(size),
                    "MASTER_ADDR": address,
                    "MASTER_PORT": str(port),
                }
                if networks:
                    environment["GLOO_SOCKET_IFNAME"] = CABLE
                network = networks[rank] if networks else None
                ours, theirs = context.Pipe(duplex=False)
                self._pipes.append(ours)
                process = context.Process(
                    target=_join,
                    args=(theirs, self._printed(rank), environment, network, main, args, timeout_s),
                )
                process.start()
                theirs.close()
                self.processes.append(process)

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_error: object) -> None:
        for process in self.processes:
            process.kill()
            process.join()

    def ended(self, rank: int, timeout_s: float = 300.0) -> Ended:
        """Wait until a process has ended."""
        process, pipe = self.processes[rank], self._pipes[rank]
        said = None
        with suppress(EOFError):  # it ended without a word
            said = pipe.recv() if pipe.poll(timeout_s) else None
        process.join(timeout_s)
        return Ended(process.exitcode, said or self._printed(rank).read_text().strip())

    def results(self) -> list[Any]:
        """Return the results of all processes, which must not fail."""
        ends = [self.ended(rank) for rank in range(len(self.processes))]
        assert [code for code, _ in ends] == [0] * len(ends), ends
        return [result for _, (result,) in ends]

    def _printed(self, rank: int) -> Path:
        return self._folder / f"printed_by_{rank}.txt"


def fork_server() -> ForkServerContext:
    """Return what starts processes by forking one that has imported what trainings need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["worlds", *LATER])
    return context


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        return free.getsockname()[1]


def _join(
    pipe: Connection,
    printed: Path,
    environment: dict[str, str],
    network: str | None,
    main: Callable[..., Any],
    args: tuple[Any, ...],
    timeout_s: float,
) -> None:
    os.environ |= environment
    if network is not None:
        _enter(network)
    torch.set_num_threads(1)
    with printed.open("w") as file, redirect_stderr(file):
        try:
            pipe.send((launch(main, args, timeout_s=timeout_s),))
        except EasnnError as error:
            pipe.send(f"{type(error).__name__}: {error}")
            sys.exit(1)


def _enter(network: str) -> None:
    """Let this process have the network of a namespace that ``ip netns`` made."""
    descriptor = os.open(f"/var/run/netns/{network}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(descriptor)
