"""Rank and world, and the few collective operations that the framework uses.

Every function works without an initialised process group: a single process is a world of one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import torch
import torch.distributed as dist

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


def is_main() -> bool:
    """Tell whether this process writes files and prints: rank 0."""
    return rank() == 0


def barrier() -> None:
    """Wait until every process is here."""
    if is_distributed():
        dist.barrier()


def sum_across_ranks(value: torch.Tensor) -> torch.Tensor:
    """Return the sum of ``value`` over all processes; ``value`` itself is left alone and gets no gradient."""
    total = value.detach().clone()
    if is_distributed():
        dist.all_reduce(total)
    return total


def average_in_place(tensors: Iterable[torch.Tensor]) -> None:
    """Replace each floating-point tensor by its mean over all processes."""
    if not is_distributed():
        return
    for tensor in tensors:
        if tensor.is_floating_point():
            dist.all_reduce(tensor)
            tensor /= world_size()


def gather_objects(item: Item) -> list[Item]:
    """Return the ``item`` of every process, in the order of ranks, on every process."""
    if not is_distributed():
        return [item]
    items: list[Any] = [None] * world_size()
    dist.all_gather_object(items, item)
    return items


def broadcast_object(item: Item) -> Item:
    """Return rank 0's ``item`` on every process."""
    if not is_distributed():
        return item
    box: list[Any] = [item]
    dist.broadcast_object_list(box, src=0)
    value: Item = box[0]
    return value
