"""Making the runs of a sweep: one process after the other on each device."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from loguru import logger
from tqdm import tqdm

from easnn.cli.sweep.devices import Environment
from easnn.cli.sweep.folder import Progress, RunRecord, SweepFolder
from easnn.cli.sweep.plan import Sweep, SweepRun
from easnn.cli.sweep.result import RunResult
from easnn.engine.interrupt import SIGNALS, exit_code, handlers_restored
from easnn.exp.event_exp import CHECKOUT
from easnn.utils.logging import on_terminal
from easnn.utils.meters import format_duration


@dataclass(frozen=True)
class Tools:
    """The commands that train and evaluate, without their options."""

    train: tuple[str, ...] = (sys.executable, str(CHECKOUT / "tools" / "train_event.py"))
    evaluate: tuple[str, ...] = (sys.executable, str(CHECKOUT / "tools" / "eval_event.py"))


@dataclass(frozen=True)
class Failure:
    """A command that did not do its work.

    Attributes:
        run: whose it was.
        step: ``training`` or ``evaluation``.
        reason: its exit code and the last line that it printed.
        log: the file with all that it printed.
    """

    run: SweepRun
    step: str
    reason: str
    log: Path

    def __str__(self) -> str:
        return f"{self.run.name}: the {self.step} failed with {self.reason} ({self.log})"


class SweepRunner:
    """Makes the runs of a sweep that are not done, and survives those that fail.

    SIGINT and SIGTERM let the runs that go on save their state and end; a second one kills them.

    Args:
        sweep: what to make.
        folder: where.
        devices: an environment for each run that may go on at the same time.
        lock: number of an open file that every process inherits.
        tools: the commands.
    """

    def __init__(
        self,
        sweep: Sweep,
        folder: SweepFolder,
        devices: Sequence[Environment],
        *,
        lock: int,
        tools: Tools | None = None,
    ) -> None:
        self.failures: list[Failure] = []
        self._sweep = sweep
        self._folder = folder
        self._devices = devices
        self._lock = lock
        self._tools = tools or Tools()
        self._waiting: deque[SweepRun] = deque()
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._signal = 0
        self._finished = 0

    def run(self) -> list[Failure]:
        """Make all runs and return what failed.

        Raises:
            OutputError: if a record cannot be written.
            SystemExit: with code 130 or 143, after a signal.
        """
        runs = self._sweep.runs
        self._waiting.extend(run for run in runs if self._folder.progress(run) is not Progress.DONE)
        if done := len(runs) - len(self._waiting):
            logger.info("{} of {} runs were done before.", done, len(runs))
        with handlers_restored():
            asyncio.run(self._run())
        if self._signal:
            raise SystemExit(exit_code(self._signal))
        return self.failures

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        self._begin = time.monotonic()
        total = len(self._sweep.runs)
        with tqdm(
            total=total, initial=total - len(self._waiting), unit="run", disable=not on_terminal()
        ) as self._bar:
            ends = await asyncio.gather(*map(self._work, self._devices), return_exceptions=True)
        for end in ends:  # a disk that is full stops a device, but not what goes on on the others
            if end is not None:
                raise end

    def _on_signal(self, number: int) -> None:
        again = self._signal
        self._signal = self._signal or number
        self._waiting.clear()
        logger.warning(
            "Killing {} runs."
            if again
            else "Stopping: {} runs save their state; one more signal kills them. "
            "The same command goes on from there.",
            len(self._processes),
        )
        for process in self._processes.values():
            with suppress(ProcessLookupError):  # it has just ended
                process.send_signal(signal.SIGKILL if again else signal.SIGTERM)

    async def _work(self, device: Environment) -> None:
        """Make runs on a device as long as some are waiting."""
        while self._waiting:
            run = self._waiting.popleft()
            failure = await self._make(run, device)
            if self._signal:
                return
            self._finished += 1
            self._bar.update()
            if failure is None:
                result = RunResult.read(self._folder.result(run))
                logger.info("{}: {} | {}", run.name, result, self._status())
            else:
                self.failures.append(failure)
                logger.error("{} | {}", failure, self._status())

    async def _make(self, run: SweepRun, device: Environment) -> Failure | None:
        if self._folder.progress(run) in (Progress.NEW, Progress.CHANGED):
            self._folder.set_aside(run)
            self._folder.write_record(run, RunRecord(self._folder.definition(run)))
        record = self._folder.record(run)
        assert record is not None
        if not record.trained:
            resume = self._folder.run(run).latest.is_file()
            logger.info("{}: {}", run.name, "goes on" if resume else "begins")
            begin = time.monotonic()
            reason = await self._call(run, self._training(run, resume=resume), device)
            train_s = record.train_s + time.monotonic() - begin
            self._folder.write_record(run, replace(record, trained=reason is None, train_s=train_s))
            if reason is not None:
                return Failure(run, "training", reason, self._folder.log(run))
        if self._signal:
            return None
        reason = await self._call(run, self._evaluation(run), device)
        if reason is None and not self._folder.result(run).is_file():
            reason = f"exit code 0, but without {self._folder.result(run)}"
        return None if reason is None else Failure(run, "evaluation", reason, self._folder.log(run))

    async def _call(self, run: SweepRun, command: Sequence[str], device: Environment) -> str | None:
        """Run a command; return why it failed, ``None`` if it did not."""
        log = self._folder.log(run)
        with log.open("ab") as output:
            begin = output.tell()
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **device},
                pass_fds=(self._lock,),
                start_new_session=True,  # a Ctrl-C in the terminal reaches it through us, once
            )
        self._processes[run.name] = process
        if self._signal:  # it came while the process was started
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        code = await process.wait()
        del self._processes[run.name]
        if code == 0:
            return None
        with log.open("rb") as output:
            output.seek(begin)
            lines = output.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing was printed")
        return f"exit code {code}: {last}"

    def _training(self, run: SweepRun, *, resume: bool) -> list[str]:
        return [
            *self._tools.train,
            *self._options(),
            *(["--resume"] if resume else []),
            *self._words(run, {}),
        ]

    def _evaluation(self, run: SweepRun) -> list[str]:
        return [
            *self._tools.evaluate,
            *self._options(),
            *("-c", str(self._folder.checkpoint(run))),
            *self._words(run, {"eval_split": self._sweep.settings.split}),
        ]

    def _options(self) -> list[str]:
        settings = self._sweep.settings
        source = ["-f", settings.exp_file] if settings.exp_file else ["-n", str(settings.experiment)]
        return [*source, "-b", str(settings.batch_size), *(["--fp16"] if settings.fp16 else [])]

    def _words(self, run: SweepRun, others: dict[str, str]) -> list[str]:
        given = {"output_dir": str(self._folder.path), "exp_name": run.name, "seed": str(run.seed)}
        return [word for pair in {**run.texts, **given, **others}.items() for word in pair]

    def _status(self) -> str:
        left = len(self._waiting) + len(self._processes)
        elapsed = time.monotonic() - self._begin
        eta = format_duration(elapsed / self._finished * left)
        now = ", ".join(self._processes) or "nothing"
        done = len(self._sweep.runs) - left
        return f"{done} of {len(self._sweep.runs)} runs, ETA {eta} | now: {now}"
