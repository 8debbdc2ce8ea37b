"""Starting a training, finding its processes and killing them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from easnn.soak.plan import Victim
from easnn.utils.errors import ConfigError

_PROC = Path("/proc")


@dataclass(frozen=True)
class Program:
    """The program that trains.

    Starting Python and importing torch takes longer than what is left of a training that was
    killed. So it can also be forked from a process that has imported what it needs.

    Attributes:
        main: its main function, from the command line without the program to the exit code; a
            function of a module.
        command: the command that runs it.
        imports: what a process imports before it is forked.
    """

    main: Callable[[Sequence[str]], int]
    command: tuple[str, ...]
    imports: tuple[str, ...]


class Training:
    """A training that runs, in a session of its own.

    Args:
        process: the process that was started.
    """

    def __init__(self, process: subprocess.Popen[bytes] | BaseProcess) -> None:
        self._process = process
        self.forked = isinstance(process, BaseProcess)
        assert process.pid is not None
        self.pid = process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs, −N if it was killed by signal N."""
        if isinstance(self._process, subprocess.Popen):
            return self._process.poll()
        return self._process.exitcode

    def wait(self, limit_s: float) -> int | None:
        """Wait until the process that was started has ended, and return the exit code."""
        end = time.monotonic() + limit_s
        while (code := self.exit_code) is None and time.monotonic() < end:
            time.sleep(0.002)
        return code

    def send(
        self, number: signal.Signals, victim: Victim, *, processes: int, choice: float
    ) -> bool:
        """Send a signal to a part of the training.

        Args:
            number: the signal.
            victim: the part.
            processes: number of processes that train.
            choice: which of several victims, 0 to 1.

        Returns:
            Whether there was such a process.
        """
        if victim == "all":
            self.kill()
            return True
        candidates = self._candidates(victim, processes)
        if not candidates:
            return False
        try:
            os.kill(candidates[int(choice * len(candidates))], number)
        except ProcessLookupError:  # it has just ended
            return False
        return True

    def kill(self) -> None:
        """Kill all processes of the training."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        # Directly after the start, its session may not exist yet.
        if self.exit_code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def living(self) -> list[int]:
        """Return the processes of its session that still run."""
        return [pid for pid, session in _sessions() if session == self.pid]

    def _candidates(self, victim: Victim, processes: int) -> list[int]:
        if victim == "main":
            return [self.pid]
        ranks = _children(self.pid) if processes > 1 else [self.pid]
        if victim == "rank":
            return ranks
        return [worker for rank in ranks for worker in _children(rank)]


class Trainings:
    """Starts trainings.

    Args:
        program: the program that trains.
        scratch: folder for the temporary files of trainings.

    Raises:
        ConfigError: if the system does not show its processes in ``/proc``.
    """

    def __init__(self, program: Program, scratch: Path) -> None:
        if not (_PROC / "self" / "stat").is_file():
            raise ConfigError(
                "`easnn soak` needs Linux: it finds the processes of a training in /proc."
            )
        self._program = program
        self._environment = {
            # Equal sums need an equal number of threads; one is enough for a small network.
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(scratch),
            # Python's helper process says at the end what killed processes could not clean up.
            "PYTHONWARNINGS": "ignore:resource_tracker:UserWarning",
        }
        self._fork = multiprocessing.get_context("forkserver")

    def start(self, words: Sequence[str], output: Path, *, forked: bool) -> Training:
        """Start a training.

        Args:
            words: the command line without the program.
            output: the file to which its output is appended.
            forked: whether it is forked from a process that has its imports already.
        """
        with _environment(self._environment):
            if forked:
                self._fork.set_forkserver_preload(list(self._program.imports))
                process = self._fork.Process(
                    target=_forked,
                    args=(self._program.main, list(words), str(output), self._environment),
                )
                process.start()
                return Training(process)
            with output.open("ab") as file:
                return Training(
                    subprocess.Popen(
                        [*self._program.command, *words],
                        stdin=subprocess.DEVNULL,
                        stdout=file,
                        stderr=file,
                        start_new_session=True,
                    )
                )


def _forked(
    main: Callable[[Sequence[str]], int], words: list[str], output: str, environment: dict[str, str]
) -> None:
    """Run the program in a process that was forked."""
    os.setsid()
    multiprocessing.set_start_method(None, force=True)  # not that which started this process
    os.environ.update(environment)
    tempfile.tempdir = None  # as in a process that has not asked for it yet
    file = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(file, stream)
    try:
        code: object = main(words)
    except SystemExit as stop:
        code = stop.code
    # As when a program ends, the loaders are gone before multiprocessing ends their workers.
    sys.exit(code)  # type: ignore[arg-type]


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, which processes that are started in the block inherit."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _children(pid: int) -> list[int]:
    """Return what runs of the processes that a process has started.

    The helpers of multiprocessing are left out.
    """
    found = []
    for thread in (_PROC / str(pid) / "task").glob("*"):
        with suppress(OSError):  # it has just ended
            found += [int(child) for child in (thread / "children").read_text("utf-8").split()]
    return sorted(filter(_works, found))


def _works(pid: int) -> bool:
    """Return whether a process runs and is no helper of multiprocessing."""
    try:
        command = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:  # it has just ended
        return False
    # It is empty if the process has ended, and its parent has not asked for its exit code.
    return bool(command) and b"multiprocessing.resource_tracker" not in command


def _sessions() -> Iterator[tuple[int, int]]:
    """Yield each process that runs, and its session."""
    for path in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            text = path.read_text(encoding="utf-8", errors="replace")  # names may be anything
            state, _parent, _group, session = text.rpartition(")")[2].split()[:4]
            if state != "Z":  # has ended, and its parent has not asked for its exit code
                yield int(path.parent.name), int(session)
