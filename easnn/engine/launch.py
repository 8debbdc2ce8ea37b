"""Starting the processes of a run, on one machine or many, and ending them all when one fails."""

from __future__ import annotations

import logging
import multiprocessing
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from easnn.engine.interrupt import exit_code, handlers_restored
from easnn.engine.remote_error import raise_first_failure, reported
from easnn.utils.device import available_cores
from easnn.utils.errors import ConfigError

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
    timeout_s: float = 1800.0,
) -> Result:
    """Run ``main(*args)`` on every process and return what this machine's first process returned.

    One process runs right here. Several are started afresh: ``main`` must be a function of a module
    and ``args`` must be picklable. Under ``torchrun`` this process joins the world that it is part
    of. The first failure ends all processes.

    Args:
        main: What to run; inside, ``easnn.utils.distributed`` tells rank and world.
        args: Its arguments.
        devices: Processes on this machine: GPUs, or CPU processes if there is no GPU. ``None``
            means one, or under ``torchrun`` as many as it started.
        num_machines: Machines of the run; each starts the same command with its own
            ``machine_rank``.
        machine_rank: This machine, counted from 0.
        dist_backend: ``nccl`` or ``gloo``; ``None`` chooses by device.
        dist_url: ``tcp://HOST:PORT`` of machine 0, for several machines.
        timeout_s: How long one process waits for another.

    Raises:
        ConfigError: if the options do not fit together or the machine.
        EasnnError: what the first failing process raised.
        TrainingError: naming a process that was killed.
        WorkerError: with the traceback of another exception.
        SystemExit: with code 130 or 143, if a signal ended the run.
    """
    backend = _backend(dist_backend)
    if "LOCAL_WORLD_SIZE" in os.environ and "RANK" in os.environ:
        _check_joined_world(devices)
        with _world(backend, timeout_s):
            return main(*args)
    devices = _check_devices(1 if devices is None else devices)
    if devices == num_machines == 1:
        return main(*args)
    if num_machines < 1:
        raise ConfigError(f"`--num_machines` must be at least 1, but is {num_machines}.")
    config = _launch_config(devices, num_machines, machine_rank, dist_url)
    _quiet("torch.distributed.elastic", "torch.multiprocessing")
    with tempfile.TemporaryDirectory(prefix="easnn-launch-") as folder, handlers_restored():
        try:
            results = elastic_launch(config, _worker)(main, args, backend, timeout_s, folder)
        except ChildFailedError as error:
            raise_first_failure(Path(folder), error)
        except SignalException as stopped:
            raise SystemExit(exit_code(stopped.sigval)) from None
    result: Result = results[min(results)]
    return result


def _worker(
    main: Main[Result], args: tuple[object, ...], backend: str, timeout_s: float, folder: str
) -> Result | None:
    """Run ``main`` in a process that the launcher started; only the first of a machine returns its result."""
    multiprocessing.set_start_method(
        None, force=True
    )  # data workers need not be spawned because we were
    with reported(Path(folder)), _world(backend, timeout_s):
        result = main(*args)
    return result if os.environ["LOCAL_RANK"] == "0" else None


@contextmanager
def _world(backend: str, timeout_s: float) -> Iterator[None]:
    """Be a process of the world that the environment describes."""
    local_rank, processes_here = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank)
    else:
        torch.set_num_threads(max(1, available_cores() // processes_here))
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s))
    yield
    dist.destroy_process_group()  # not after an error: it could wait for a process that is gone


def _quiet(*packages: str) -> None:
    """Silence packages that retell every failure and signal at length."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(packages):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _launch_config(
    devices: int, num_machines: int, machine_rank: int, dist_url: str | None
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
        any_port = "localhost:0"
        return workers(
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint=any_port,
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
    except ValueError:  # no number, or not that of a port
        host, port = None, None
    if host is None or not port or url.scheme != "tcp":
        raise ConfigError(
            f"`--dist-url` must be tcp://HOST:PORT of machine 0 for {num_machines} machines, but "
            "is "
            f"{dist_url}."
        )
    return workers(
        run_id="easnn",
        rdzv_backend="static",
        rdzv_endpoint=f"{host}:{port}",
        rdzv_configs={"rank": machine_rank},
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
            "CUDA_VISIBLE_DEVICES), "
            f"but is {devices}."
        )
    return devices


def _check_joined_world(devices: int | None) -> None:
    started = int(os.environ["LOCAL_WORLD_SIZE"])
    if devices not in (None, started):
        raise ConfigError(
            f"`-d` must be {started} or left out under torchrun, which started {started} processes "
            "here, but "
            f"is {devices}."
        )
    gpus = torch.cuda.device_count()
    if gpus and started > gpus:
        raise ConfigError(
            f"torchrun must start at most {gpus} processes here, one for each GPU of this machine, "
            "but started "
            f"{started}. Give --nproc-per-node {gpus}."
        )
