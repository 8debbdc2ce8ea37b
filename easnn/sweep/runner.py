"""Running a sweep: training and evaluation in subprocesses, one at a time per device."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue

import torch
from loguru import logger

from easnn.engine.interrupt import SIGNALS, exit_code, handlers_restored
from easnn.sweep.sweep_file import SweepRun
from easnn.sweep.sweep_folder import SweepFolder
from easnn.sweep.sweep_table import format_number
from easnn.utils.device import available_cores
from easnn.utils.errors import ConfigError, EasnnError, TrainingError
from easnn.utils.meters import format_duration

PROGRAM = (sys.executable, "-m", "easnn")
"""The program that trains and evaluates; its first argument is a key of :data:`STEPS`."""

STEPS = {"train": "training", "eval": "evaluation", "energy": "energy report"}

Device = dict[str, str]
"""The environment variables that assign a device to a process."""


def sweep_devices(count: int) -> list[Device]:
    """Return ``count`` devices: one GPU each or, without GPUs, an equal share of the cores.

    ``CUDA_VISIBLE_DEVICES`` and ``OMP_NUM_THREADS`` of this process are respected.

    Raises:
        ConfigError: if the count is not positive, or larger than the number of GPUs.
    """
    if count < 1:
        raise ConfigError(f"`-d` must be at least 1, but is {count}.")
    gpus = torch.cuda.device_count()
    if not gpus:
        threads = os.environ.get("OMP_NUM_THREADS", str(max(1, available_cores() // count)))
        return [{"OMP_NUM_THREADS": threads}] * count
    if count > gpus:
        raise ConfigError(
            f"`-d` must be at most {gpus}, the number of GPUs of this machine (see "
            f"CUDA_VISIBLE_DEVICES), but is {count}."
        )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(number) for number in range(gpus)]
    return [{"CUDA_VISIBLE_DEVICES": name.strip()} for name in names[:count]]


class SweepRunner:
    """Trains and evaluates the unfinished runs of a sweep; a failed run does not stop the others.

    One thread per device starts subprocesses and waits for them; the main thread waits for signals
    and results. After SIGINT or SIGTERM the active runs save their state and stop. A second signal
    kills them.

    Args:
        folder: the sweep and its files.
        devices: devices of the simultaneous runs, one each.
        lock: file descriptor of the folder's lock, which all subprocesses inherit.
        program: the command that trains and evaluates.
    """

    def __init__(
        self, folder: SweepFolder, devices: Sequence[Device], lock: int, program: Sequence[str]
    ) -> None:
        self._sweep = folder.sweep
        self._folder = folder
        self._folder_lock = lock
        self._program = program
        self._threads = ThreadPoolExecutor(len(devices))
        self._free_devices = list(devices)  # as many as threads
        # Signals and finished runs. `SimpleQueue.put` is safe in a signal handler, logging is not.
        self._events: SimpleQueue[int | Future[str]] = SimpleQueue()
        self._lock = threading.Lock()  # protects the next two attributes
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._signal = 0

    def run(self) -> list[str]:
        """Train and evaluate the unfinished runs, and return a message for each failed run.

        Raises:
            SystemExit: after a signal, with code 130 or 143.
        """
        total = len(self._sweep.runs)
        remaining = [run for run in self._sweep.runs if not self._folder.is_done(run)]
        if done := total - len(remaining):
            logger.info("{} of {} runs are already done.", done, total)
        with self._threads, handlers_restored():
            for number in SIGNALS:
                signal.signal(number, lambda number, _: self._events.put(number))
            runs = {self._threads.submit(self._make, run): run for run in remaining}
            try:
                failures = self._wait(runs)
            finally:  # after an unexpected error, no further run must start
                self._threads.shutdown(wait=False, cancel_futures=True)
        if self._signal:
            raise SystemExit(exit_code(self._signal))
        return failures

    def _wait(self, runs: Mapping[Future[str], SweepRun]) -> list[str]:
        """Handle signals and log results until all runs have ended; return failure messages."""
        begin = time.monotonic()
        failures = []
        total, left = len(self._sweep.runs), len(runs)
        for future in runs:
            future.add_done_callback(self._events.put)
        while left:
            event = self._events.get()
            if isinstance(event, int):
                self._stop(event)
                continue
            left -= 1
            if self._signal:
                continue
            run = runs[event]
            eta = format_duration((time.monotonic() - begin) / (len(runs) - left) * left)
            progress = f"{total - left} of {total} runs, ETA {eta}"
            try:
                logger.info("{}: {} | {}", run.name, event.result(), progress)
            except EasnnError as error:
                failures.append(f"{run.name}: {error} (see {self._folder.log(run)})")
                logger.error("{} | {}", failures[-1], progress)
        return failures

    def _stop(self, number: int) -> None:
        """Ask the active runs to save their state and stop; after an earlier signal, kill them."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            kill = bool(self._signal)
            self._signal = self._signal or number
            for process in self._processes.values():
                process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            count = len(self._processes)
        if kill:
            logger.warning("Killing {} runs.", count)
        else:
            logger.warning(
                "{} runs save their state and stop; the same command resumes them. Another signal "
                "kills them.",
                count,
            )

    def _make(self, run: SweepRun) -> str:
        """Train and evaluate a run on a free device and return its scores; skip finished steps.

        Raises:
            TrainingError: if a command failed.
            OutputError: if the record cannot be written.
        """
        folder = self._folder
        device = self._free_devices.pop(0)
        try:
            record = folder.record(run)
            if record is None or folder.differences(run):
                folder.set_aside(run)
                record = folder.new_record(run)
                folder.write_record(run, record)
            if not record.trained:
                resume = folder.directory(run).latest.is_file()
                logger.info("{} {}", run.name, "resumes" if resume else "starts")
                begin = time.monotonic()
                try:
                    self._execute(run, device, "train", *(["--resume"] if resume else []))
                    record = replace(record, trained=True)
                finally:
                    train_s = record.train_s + time.monotonic() - begin
                    folder.write_record(run, replace(record, train_s=train_s))
            settings, checkpoint = self._sweep.settings, str(folder.checkpoint(run))
            strata = ["--strata"] if settings.strata else []
            self._execute(run, device, "eval", *strata, "-c", checkpoint)
            if settings.energy_frames:
                samples = ("--samples", str(settings.energy_frames))
                self._execute(run, device, "energy", *samples, "-c", checkpoint)
        finally:
            with self._lock:
                self._processes.pop(run.name, None)
            self._free_devices.append(device)
        if not folder.is_evaluated(run):
            raise TrainingError(
                f"evaluation ended with exit code 0, but without {folder.result(run)}"
            )
        found = folder.measures(run)
        return f"AP {format_number(found.ap, 4)}, AP50 {format_number(found.ap50, 4)}"

    def _execute(self, run: SweepRun, device: Device, step: str, *options: str) -> None:
        """Execute a command and wait until it ends. Its output is appended to the run's log.

        Raises:
            TrainingError: if its exit code is not 0, or a signal came first.
        """
        settings = self._sweep.settings
        source = ("-n", settings.experiment) if settings.experiment else ("-f", settings.exp_file)
        fp16 = ("--fp16",) if settings.fp16 else ()
        batch = () if step == "energy" else ("-b", settings.batch_size, *fp16)
        keys = {
            **run.texts,
            "output_dir": self._folder.path,
            "exp_name": run.name,
            "seed": run.seed,
        }
        if step != "train":
            keys["eval_split"] = settings.split
        pairs = itertools.chain(*keys.items())
        words = (*self._program, step, *source, *batch, *options, *pairs)
        with self._folder.log(run).open("a+b") as log:
            begin = log.seek(0, os.SEEK_END)
            with self._lock:
                if self._signal:
                    raise TrainingError("stopped by a signal")
                process = self._processes[run.name] = subprocess.Popen(
                    list(map(str, words)),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **device, "PYTHONIOENCODING": "utf-8"},
                    pass_fds=(self._folder_lock,),
                    start_new_session=True,  # Ctrl-C in a terminal reaches it through `_stop` only
                )
            if code := process.wait():
                log.seek(begin)
                lines = log.read().decode("utf-8", errors="replace").split("\n")
                last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
                ending = f"exit code {code}" if code > 0 else signal.Signals(-code).name
                raise TrainingError(f"{STEPS[step]} failed with {ending}: {last}")
