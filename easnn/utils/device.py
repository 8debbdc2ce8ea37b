"""The device, CPU cores and memory available to this process."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

import torch

CONTROL_GROUPS = Path("/sys/fs/cgroup")


def training_device() -> torch.device:
    """Return this process's device: the GPU of its local rank, or the CPU if there is no GPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def available_cores() -> int:
    """Return the number of CPU cores that this process may use (its CPU affinity)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def synchronize(device: torch.device) -> None:
    """Wait until all queued operations on the device are finished; a no-op on the CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory in MiB: of tensors on the GPU, or of the whole process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def free_memory_bytes() -> int:
    """Return the memory that this process may still allocate on this machine, in its cgroup."""
    free = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with suppress(OSError):  # Linux only; includes memory used as file cache
        for line in Path("/proc/meminfo").read_text("utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                free = [1024 * int(line.split()[1])]
    with suppress(OSError, ValueError):  # no cgroups version 2, or no limit ("max")
        name = Path("/proc/self/cgroup").read_text("utf-8").rpartition("::")[2].strip().lstrip("/")
        files = [CONTROL_GROUPS / name / f"memory.{kind}" for kind in ("max", "current")]
        limit, used = (file.read_text("utf-8") for file in files)
        free.append(max(0, int(limit) - int(used)))
    return min(free)
