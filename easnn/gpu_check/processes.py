"""Do several processes train as one does?"""

from __future__ import annotations

from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

from easnn.engine import launch
from easnn.engine.step import TrainingStep, average_gradients
from easnn.gpu_check.outcome import Outcome, Setting
from easnn.gpu_check.problem import Problem, make_problem, relative_error
from easnn.optim import build_optimizer
from easnn.utils.device import training_device
from easnn.utils.distributed import rank, world_size
from easnn.utils.files import temporary_folder
from easnn.utils.precision import Precision

TIMEOUT = timedelta(minutes=2)
STEPS = 3


def check_one_process(setting: Setting) -> Outcome:
    """Compare a process group of one process, by NCCL on a GPU, with no process group."""
    backend = "nccl" if setting.on_gpu else "gloo"
    if setting.on_gpu and not dist.is_nccl_available():
        return Outcome.not_here("this torch is built without NCCL")
    if dist.is_initialized():
        return Outcome.not_here("this process already belongs to a process group")
    problem = make_problem(dtype=torch.float64)
    expected = _weights(train_share(problem.on(setting.device)))
    with temporary_folder("easnn-check-") as folder:
        place = f"file://{folder}/store"
        dist.init_process_group(backend, place, rank=0, world_size=1, timeout=TIMEOUT)
        try:
            found = _weights(train_share(problem.on(setting.device)))
        finally:
            dist.destroy_process_group()
    return Outcome.within(
        {"weights": relative_error(found, expected)}, 1e-9, f"{STEPS} steps by {backend}"
    )


def check_many_processes(setting: Setting, processes: int | None = None) -> Outcome:
    """Compare one process per GPU, each with a share of the batch, with a single process.

    Args:
        setting: the device.
        processes: number of processes; None: the number of GPUs.
    """
    count = torch.cuda.device_count() if processes is None else processes
    if count < 2:
        return Outcome.not_here("there is only one GPU" if setting.on_gpu else "there is no GPU")
    problem = _frozen(make_problem(frames=2 * count, dtype=torch.float64)).on(setting.device)
    expected = _weights(train_share(problem))
    found = launch(_train_in_process, (count,), devices=count, timeout_s=TIMEOUT.total_seconds())
    error = relative_error(found, expected)
    return Outcome.within({"weights": error}, 1e-6, f"{STEPS} steps of {count} processes")


def train_share(problem: Problem) -> nn.Module:
    """Train on this process's share of the frames and return the network."""
    device = problem.events.device
    model = average_gradients(problem.model, device, sync_bn=False)
    optimizer = build_optimizer(problem.model, name="SGD", lr=1e-3)
    step = TrainingStep(model, optimizer, Precision(device, "exact"))
    share = slice(rank(), None, world_size())
    for _ in range(STEPS):
        step(problem.events[share], problem.targets[share])
    return problem.model


def _train_in_process(count: int) -> list[torch.Tensor]:
    problem = _frozen(make_problem(frames=2 * count, dtype=torch.float64)).on(training_device())
    return _weights(train_share(problem))


def _frozen(problem: Problem) -> Problem:
    """Let batch norms use running statistics: those of a batch differ between processes."""
    problem.model.eval()
    return problem


def _weights(model: nn.Module) -> list[torch.Tensor]:
    return [value.detach().cpu() for value in model.parameters()]
