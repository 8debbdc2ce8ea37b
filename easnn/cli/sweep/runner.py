"""Making the runs of a sweep: one after the other on each device."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from loguru import logger
from tqdm import tqdm

from easnn.cli.sweep.devices import Environment
from easnn.cli.sweep.folder import RunRecord, RunStatus, SweepFolder
from easnn.cli.sweep.plan import Sweep, SweepRun
from easnn.cli.sweep.process import LoggedProcess
from easnn.cli.sweep.result import RunResult
from easnn.cli.sweep.tools import Tools
from easnn.engine.interrupt import SIGNALS, exit_code, handlers_restored
from easnn.utils.logging import on_terminal
from easnn.utils.meters import format_duration


@dataclass(frozen=True)
class Failure:
    """A command that did not do its work.

    Attributes:
        run: name of its run.
        step: ``training`` or ``evaluation``.
        reason: its exit code and the last line that it printed.
        log: the file with all that it printed.
    """

    run: str
    step: str
    reason: str
    log: Path

    def __str__(self) -> str:
        return f"{self.run}: {self.step} failed with {self.reason} (see {self.log})"


class SweepRunner:
    """Makes the runs of a sweep that are not done, and survives those that fail.

    SIGINT and SIGTERM let the runs at work save their state and end; a second signal kills them.

    Args:
        sweep: what to make.
        folder: where.
        devices: an environment for each run that may be at work at the same time.
        lock: number of an open file that every process inherits.
        tools: the programs to use.
    """

    def __init__(
        self,
        sweep: Sweep,
        folder: SweepFolder,
        devices: Sequence[Environment],
        *,
        lock: int,
        tools: Tools,
    ) -> None:
        self._sweep = sweep
        self._folder = folder
        self._devices = devices
        self._lock = lock
        self._tools = tools
        self._waiting: deque[SweepRun] = deque()
        self._working: dict[str, LoggedProcess] = {}
        self._failures: list[Failure] = []
        self._finished = 0
        self._signal = 0

    def run(self) -> list[Failure]:
        """Make all runs and return what failed.

        Raises:
            OutputError: if a record cannot be written.
            SystemExit: with code 130 or 143, after a signal.
        """
        runs = self._sweep.runs
        self._waiting.extend(run for run in runs if self._folder.status(run) is not RunStatus.DONE)
        if done := len(runs) - len(self._waiting):
            logger.info("{} of {} runs were done before.", done, len(runs))
        with (
            handlers_restored(),
            tqdm(total=len(runs), initial=done, unit="run", disable=not on_terminal()) as bar,
        ):
            asyncio.run(self._use_devices(bar))
        if self._signal:
            raise SystemExit(exit_code(self._signal))
        return self._failures

    async def _use_devices(self, bar: tqdm) -> None:
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)
        begin = time.monotonic()
        work = [self._use(device, bar, begin) for device in self._devices]
        for end in await asyncio.gather(*work, return_exceptions=True):
            if end is not None:  # such as a full disk; it stopped its device, but not the runs on others
                raise end

    def _on_signal(self, number: int) -> None:
        self._waiting.clear()
        if self._signal:
            logger.warning("Killing {} runs.", len(self._working))
        else:
            logger.warning(
                "{} runs save their state and stop; the same command goes on. Another signal kills them.",
                len(self._working),
            )
        for process in self._working.values():
            process.stop(signal.SIGKILL if self._signal else signal.SIGTERM)
        self._signal = self._signal or number

    async def _use(self, device: Environment, bar: tqdm, begin: float) -> None:
        """Make runs on a device as long as some are waiting."""
        while self._waiting:
            run = self._waiting.popleft()
            process = LoggedProcess(self._folder.log(run), device, self._lock)
            self._working[run.name] = process
            failure = await self._make(run, process)
            del self._working[run.name]
            if self._signal:
                return
            self._finished += 1
            bar.update()
            status = self._status(time.monotonic() - begin)
            if failure is None:
                logger.info("{}: {} | {}", run.name, RunResult.read(self._folder.result(run)), status)
            else:
                self._failures.append(failure)
                logger.error("{} | {}", failure, status)

    async def _make(self, run: SweepRun, process: LoggedProcess) -> Failure | None:
        """Do what is left to do for a run, and tell what failed, if anything."""
        folder = self._folder
        if folder.status(run) in (RunStatus.NEW, RunStatus.CHANGED):
            folder.set_aside(run)
            folder.write_record(run, RunRecord(folder.definition(run)))
        if folder.status(run) is RunStatus.STARTED:
            reason = await self._train(run, process)
            if reason is not None:
                return Failure(run.name, "training", reason, process.log)
        if self._signal:
            return None
        reason = await process.run(self._tools.evaluation(self._sweep, folder, run))
        if reason is None and not folder.result(run).is_file():
            reason = f"exit code 0, but without {folder.result(run)}"
        return None if reason is None else Failure(run.name, "evaluation", reason, process.log)

    async def _train(self, run: SweepRun, process: LoggedProcess) -> str | None:
        command = self._tools.training(self._sweep, self._folder, run)
        logger.info("{} {}", run.name, "goes on" if "--resume" in command else "begins")
        begin = time.monotonic()
        reason = await process.run(command)
        record = self._folder.record(run)
        assert record is not None, run.name
        train_s = record.train_s + time.monotonic() - begin
        self._folder.write_record(run, replace(record, trained=reason is None, train_s=train_s))
        return reason

    def _status(self, elapsed_s: float) -> str:
        left = len(self._waiting) + len(self._working)
        total = len(self._sweep.runs)
        eta = format_duration(elapsed_s / self._finished * left)
        return f"{total - left} of {total} runs, ETA {eta} | at work: {', '.join(self._working) or 'nothing'}"
