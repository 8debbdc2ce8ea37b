"""Start the processes of a run on one or several machines, and stop all of them if one fails."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from multiprocessing.resource_tracker import ensure_running
from pathlib import Path
from types import FrameType
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import torch
import torch.distributed as dist
from loguru import logger
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous import RendezvousError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from easnn.engine.interrupt import exit_code, handlers_restored, in_main_thread
from easnn.engine.remote_error import (
    WorkerError,
    note_sign,
    raise_first_failure,
    report_and_exit,
    reported,
)
from easnn.engine.watch import SignOfLife, Watch, first_line, is_lost_connection
from easnn.utils.device import available_cores
from easnn.utils.distributed import TIMEOUT_S, barrier
from easnn.utils.errors import ConfigError, EasnnError, LostProcessError, TrainingError
from easnn.utils.files import temporary_folder

Result = TypeVar("Result")
Main = Callable[..., Result]


def launch(
    main: Main[Result],
    args: tuple[object, ...] = (),
    *,
    devices: int | None = None,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_backend: str | None = None,
    dist_url: str | None = None,
    local_rank: int | None = None,
    timeout_s: float = TIMEOUT_S,
    stop_signal: int | None = None,
    max_restarts: int = 0,
    args_of_restart: tuple[object, ...] | None = None,
) -> Result:
    """Run ``main(*args)`` on every process and return the result of local rank 0.

    A single process runs in the calling process. Several processes are spawned: ``main`` must be a
    module-level function and ``args`` must be picklable. Under ``torchrun``, the calling process
    joins the process group of its environment variables. The first failure stops all processes. If
    it may be gone in another try, because a process was killed or did not answer, or because of an
    error that is not in the input, all of them can be started again.

    Args:
        main: the function; :mod:`easnn.utils.distributed` gives it the rank and the world size.
        args: its arguments.
        devices: number of processes on this machine: one per GPU, or CPU processes if there is no
            GPU. ``None`` means 1, or as many as ``torchrun`` started.
        num_machines: number of machines; each runs the same command with its own ``machine_rank``.
        machine_rank: rank of this machine, from 0.
        dist_backend: ``nccl`` or ``gloo``; ``None`` selects one by device.
        dist_url: ``tcp://HOST:PORT`` of machine 0; required with several machines.
        local_rank: what ``torch.distributed.launch`` passes beside its environment variables, which
            count.
        timeout_s: how long a process waits for the others; one that keeps them waiting longer, or
            gives no sign of life for so long, ends the run and is named.
        stop_signal: a signal to pass on to spawned processes, besides SIGINT and SIGTERM.
        max_restarts: how many times spawned processes are started again.
        args_of_restart: arguments of ``main`` when it is started again; None: ``args``.

    Raises:
        ConfigError: if the options contradict each other or do not fit the machine.
        EasnnError: the error of the first process that failed.
        LostProcessError: if a process was killed or lost, or hangs.
        TrainingError: if the machines do not come together.
        WorkerError: with the traceback of any other exception.
        SystemExit: with 128 and the number of the signal that stopped the run.
    """
    backend = _backend(dist_backend)
    if not timeout_s > 0:
        raise ConfigError(f"`--timeout` must be above 0, but is {timeout_s:g}.")
    if "LOCAL_WORLD_SIZE" in os.environ and "RANK" in os.environ:
        _check_joined_world(devices)
        with _world(backend, Watching(timeout_s, _print_and_exit)):
            return main(*args)
    if local_rank is not None:
        raise ConfigError(
            "`--local-rank` comes from a launcher of torch, but its environment variables "
            "(LOCAL_WORLD_SIZE, RANK) are missing. Leave it out and give the number of processes "
            "(-d), or use torchrun."
        )
    devices = _check_devices(1 if devices is None else devices)
    if devices == num_machines == 1:
        return main(*args)
    if max_restarts < 0:
        raise ConfigError(f"`--max-restarts` must be at least 0, but is {max_restarts}.")
    if num_machines < 1:
        raise ConfigError(f"`--num_machines` must be at least 1, but is {num_machines}.")
    config = _launch_config(devices, num_machines, machine_rank, dist_url, timeout_s)
    _quiet("torch.distributed.elastic", "torch.multiprocessing")
    for restarts_left in range(max_restarts, -1, -1):
        try:
            return _launch_once(config, main, args, backend, timeout_s, stop_signal)
        except (LostProcessError, WorkerError) as error:
            if not restarts_left:
                raise
            logger.error("{} The run starts again, {} more times at most.", error, restarts_left)
            args = args if args_of_restart is None else args_of_restart
    raise AssertionError("the last try returns or raises")


def _launch_once(
    config: LaunchConfig,
    main: Main[Result],
    args: tuple[object, ...],
    backend: str,
    timeout_s: float,
    stop_signal: int | None,
) -> Result:
    with (
        temporary_folder("easnn-launch-") as folder,
        handlers_restored(),
        _passed_on(stop_signal),
    ):
        try:
            results = elastic_launch(config, _worker)(main, args, backend, timeout_s, folder)
        except ChildFailedError as error:
            _, failure = error.get_first_failure()
            if stop_signal is not None and failure.exitcode == -stop_signal:
                # It came before the process could handle it, so there is nothing to save.
                raise SystemExit(exit_code(stop_signal)) from None
            raise_first_failure(folder, error)
        except SignalException as stopped:
            raise SystemExit(exit_code(stopped.sigval)) from None
        except (dist.DistError, RendezvousError) as error:
            if config.max_nodes == 1:
                raise
            raise TrainingError(
                f"The {config.max_nodes} machines did not come together at "
                f"tcp://{config.rdzv_endpoint} within "
                f"{timeout_s:g} s: {first_line(error)} Start the same command on each of "
                "them, with its own `--machine_rank`, and check that they reach this address; "
                "`--timeout` sets the limit."
            ) from error
    return results[min(results)]


@contextmanager
def _passed_on(number: int | None) -> Iterator[None]:
    """Within the block, pass a signal on to the processes that this one has started."""
    if number is None or not in_main_thread():
        yield
        return

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        for process in multiprocessing.active_children():
            if process.pid is not None:
                with suppress(ProcessLookupError):  # it has ended in the meantime
                    os.kill(process.pid, number)

    with handlers_restored((number,)):
        # Batch systems signal every process of a job. Python's helper process would end with a
        # traceback; it inherits that the signal is ignored.
        signal.signal(number, signal.SIG_IGN)
        ensure_running()
        signal.signal(number, pass_on)
        yield


def _worker(
    main: Main[Result], args: tuple[object, ...], backend: str, timeout_s: float, folder: Path
) -> Result | None:
    """Run ``main`` in a process that the launcher started; only local rank 0 returns its result."""
    # The launcher spawns this process; its data workers use the default start method again.
    multiprocessing.set_start_method(None, force=True)
    watching = Watching(timeout_s, partial(report_and_exit, folder), partial(note_sign, folder))
    with reported(folder), _world(backend, watching):
        result = main(*args)
    return result if os.environ["LOCAL_RANK"] == "0" else None


class Watching(NamedTuple):
    """The arguments of a :class:`~easnn.engine.watch.Watch`."""

    timeout_s: float
    end: Callable[[str], None]
    note: Callable[[SignOfLife], None] = lambda sign: None


@contextmanager
def _world(backend: str, watching: Watching) -> Iterator[None]:
    """Run the block in the process group that the environment variables describe."""
    local_rank, processes_here = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank)
    else:
        torch.set_num_threads(max(1, available_cores() // processes_here))
    # Only if the watch does not end the process, torch does: it cannot say who is missing.
    at_last = timedelta(seconds=2 * watching.timeout_s + 10)
    try:
        dist.init_process_group(backend, timeout=at_last)
    except RuntimeError as error:
        if not is_lost_connection(error):
            raise
        raise TrainingError(
            f"Process {os.environ['RANK']} on {socket.gethostname()} cannot connect to the others: "
            f"{first_line(error)} Check that all of them run, and name the network card in "
            f"{'NCCL' if backend == 'nccl' else 'GLOO'}_SOCKET_IFNAME if the machine has several."
        ) from error
    with Watch(*watching) as watch:
        try:
            yield
            barrier("the end of the run", 2 * watching.timeout_s)
        except RuntimeError as error:
            if not is_lost_connection(error):
                watch.tell(f"{type(error).__name__}: {error}")
                raise
            raise LostProcessError(watch.explain(error)) from error
        except Exception as error:
            watch.tell(str(error) if isinstance(error, EasnnError) else repr(error))
            raise
    dist.destroy_process_group()  # not after an error: it could wait for a lost process


def _print_and_exit(message: str) -> None:
    print(f"error: {message}", file=sys.stderr, flush=True)
    os._exit(1)


def _quiet(*packages: str) -> None:
    """Silence packages that log every failure and signal at length."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(packages):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _launch_config(
    devices: int, num_machines: int, machine_rank: int, dist_url: str | None, timeout_s: float
) -> LaunchConfig:
    workers = partial(
        LaunchConfig,
        min_nodes=num_machines,
        max_nodes=num_machines,
        nproc_per_node=devices,
        max_restarts=0,
        start_method="spawn",
    )
    if num_machines == 1:
        return workers(
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",  # any free port
            local_addr="localhost",
        )
    if not 0 <= machine_rank < num_machines:
        raise ConfigError(
            f"`--machine_rank` must be 0 to {num_machines - 1} for {num_machines} machines, but is "
            f"{machine_rank}."
        )
    try:
        url = urlsplit(dist_url or "")
        host, port = url.hostname, url.port
    except ValueError:  # not a valid port number
        host, port = None, None
    if host is None or not port or url.scheme != "tcp":
        raise ConfigError(
            f"`--dist-url` must be tcp://HOST:PORT of machine 0 for {num_machines} machines, but "
            f"is {dist_url}."
        )
    return workers(
        run_id="easnn",
        rdzv_backend="static",
        rdzv_endpoint=f"{host}:{port}",
        rdzv_configs={"rank": machine_rank, "timeout": max(1, round(timeout_s))},
    )


def _backend(asked: str | None) -> str:
    has_gpu = torch.cuda.is_available()
    if asked is None:
        return "nccl" if has_gpu else "gloo"
    if asked not in ("nccl", "gloo"):
        raise ConfigError(f"`--dist-backend` must be nccl or gloo, but is {asked}.")
    if asked == "nccl" and not has_gpu:
        raise ConfigError(
            "`--dist-backend` must be gloo on a machine without a GPU, but is nccl. Leave it out."
        )
    return asked


def _check_devices(devices: int) -> int:
    gpus = torch.cuda.device_count()
    if devices < 1:
        raise ConfigError(f"`-d` must be at least 1, but is {devices}.")
    if gpus and devices > gpus:
        raise ConfigError(
            f"`-d` must be at most {gpus}, the number of GPUs of this machine (see "
            f"CUDA_VISIBLE_DEVICES), but is {devices}."
        )
    return devices


def _check_joined_world(devices: int | None) -> None:
    started = int(os.environ["LOCAL_WORLD_SIZE"])
    if devices not in (None, started):
        raise ConfigError(
            f"`-d` must be {started} or left out under torchrun, which started {started} processes "
            f"here, but is {devices}."
        )
    gpus = torch.cuda.device_count()
    if gpus and started > gpus:
        raise ConfigError(
            f"torchrun must start at most {gpus} processes here, one for each GPU of this machine, "
            f"but started {started}. Give --nproc-per-node {gpus}."
        )
