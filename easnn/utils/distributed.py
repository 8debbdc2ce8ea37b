"""Rank and world, and the few collective operations that the framework uses.

Every function works without an initialised process group: a single process is a world of one.
"""

from __future__ import annotations

import functools
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from easnn.utils.errors import TrainingError

Item = TypeVar("Item")


def is_distributed() -> bool:
    """Tell whether a process group is initialised."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Return this process's rank, 0 in a single process."""
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    """Return the number of processes, 1 in a single process."""
    return dist.get_world_size() if is_distributed() else 1


def local_rank() -> int:
    """Return the number of this process among those of the run on its machine, 0 in a single process."""
    return int(os.environ.get("LOCAL_RANK", "0")) if is_distributed() else 0


def is_main() -> bool:
    """Tell whether this process writes files and prints: rank 0."""
    return rank() == 0


def barrier(before: str, timeout_s: float = 1800.0) -> None:
    """Wait until every process is here.

    Args:
        before: What comes next, for the message.
        timeout_s: How long to wait.

    Raises:
        TrainingError: naming the processes that did not come in time, on the main process.
    """
    if not is_distributed():
        return
    try:
        dist.monitored_barrier(
            _host_group(dist.group.WORLD), timeout=timedelta(seconds=timeout_s), wait_all_ranks=True
        )
    except RuntimeError as error:
        missing = re.search(r"Ranks? ([\d, ]+) failed", str(error))
        who = f"Process {missing[1]}" if missing else "A process"
        raise TrainingError(
            f"{who} did not come to {before} within {timeout_s:.0f} s, or was lost. Look at what it did: "
            "its last message, its machine, its memory."
        ) from error


def sum_across_ranks(value: torch.Tensor) -> torch.Tensor:
    """Return the sum of ``value`` over all processes; ``value`` itself is left alone and gets no gradient."""
    total = value.detach().clone()
    if is_distributed():
        dist.all_reduce(total)
    return total


def max_across_ranks(value: torch.Tensor) -> torch.Tensor:
    """Return the largest ``value`` of all processes, elementwise; ``value`` itself is left alone."""
    largest = value.detach().clone()
    if is_distributed():
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return largest


def average_in_place(tensors: Iterable[torch.Tensor]) -> None:
    """Replace each floating-point tensor by its mean over all processes, in one operation per type."""
    if not is_distributed():
        return
    by_type: dict[torch.dtype, list[torch.Tensor]] = defaultdict(list)
    for tensor in tensors:
        if tensor.is_floating_point():
            by_type[tensor.dtype].append(tensor)
    for group in by_type.values():
        flat = torch.cat([tensor.reshape(-1) for tensor in group])
        dist.all_reduce(flat)
        means = torch.split(flat / world_size(), [tensor.numel() for tensor in group])
        for tensor, mean in zip(group, means, strict=True):
            tensor.copy_(mean.view_as(tensor))


def gather_objects(item: Item) -> list[Item]:
    """Return the ``item`` of every process, in the order of ranks, on every process."""
    if not is_distributed():
        return [item]
    items: list[Any] = [None] * world_size()
    dist.all_gather_object(items, item, group=_host_group(dist.group.WORLD))
    return items


def broadcast_object(item: Item) -> Item:
    """Return rank 0's ``item`` on every process."""
    if not is_distributed():
        return item
    box: list[Any] = [item]
    dist.broadcast_object_list(box, src=0, group=_host_group(dist.group.WORLD))
    value: Item = box[0]
    return value


@functools.lru_cache(maxsize=1)
def _host_group(world: dist.ProcessGroup) -> dist.ProcessGroup:
    """Return a group of all processes over gloo: it needs no GPU memory and can tell who is missing."""
    if dist.get_backend(world) == dist.Backend.GLOO:
        return world
    group: dist.ProcessGroup = dist.new_group(backend="gloo")
    return group
