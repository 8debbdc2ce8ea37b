"""Which device a process computes on, and how the cores of a machine are shared."""

from __future__ import annotations

import os
import resource

import torch


def training_device() -> torch.device:
    """Return this process's device: the GPU of its local rank, or the CPU if there is no GPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def available_cores() -> int:
    """Return the number of cores that this process may use; a scheduler may allow a few only."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_mb(device: torch.device) -> float:
    """Return the most memory used so far in MiB: tensors on the GPU, or the whole process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
