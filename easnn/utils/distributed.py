"""Rank, world size and the collective operations used by the framework.

Every function also works without a process group; the world size is then 1.
"""

from __future__ import annotations

import functools
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from easnn.utils.errors import LostProcessError

Item = TypeVar("Item")

TIMEOUT_S = 1800.0
"""How long processes wait for one another, unless something else is said."""


@dataclass
class Standing:
    """How far this process is; the others can see from it which process keeps them waiting.

    Attributes:
        place: what it works on, e.g. "epoch 3, step 18".
        collectives: how many collective operations it has begun.
        waiting_since: when it began the one that it is in (``time.monotonic()``); None if in none.
    """

    place: str = "the start of the run"
    collectives: int = 0
    waiting_since: float | None = None


def is_distributed() -> bool:
    """Return whether a process group is initialised."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Return the rank of this process, 0 without a process group."""
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    """Return the number of processes, 1 without a process group."""
    return dist.get_world_size() if is_distributed() else 1


def local_rank() -> int:
    """Return the rank of this process on its machine, 0 without a process group."""
    return int(os.environ.get("LOCAL_RANK", "0")) if is_distributed() else 0


def is_main() -> bool:
    """Return whether this is the main process (rank 0), which prints and writes files."""
    return rank() == 0


def standing() -> Standing:
    """Return how far this process is in the process group, which must be initialised."""
    return _standing(dist.group.WORLD)


def note_place(place: str) -> None:
    """Note what this process works on now."""
    if is_distributed():
        standing().place = place


@contextmanager
def waiting() -> Iterator[None]:
    """Note that this process may wait for the others: the block is a collective operation."""
    if not is_distributed():
        yield
        return
    here = standing()
    here.collectives += 1
    here.waiting_since = time.monotonic()
    try:
        yield
    finally:
        here.waiting_since = None


def barrier(before: str, timeout_s: float = TIMEOUT_S) -> None:
    """Wait until every process has reached this point.

    Args:
        before: name of this point, for the message.
        timeout_s: how long to wait.

    Raises:
        LostProcessError: on the main process, naming the processes that did not arrive in time.
    """
    if not is_distributed():
        return
    try:
        with waiting():
            dist.monitored_barrier(
                _host_group(dist.group.WORLD),
                timeout=timedelta(seconds=timeout_s),
                wait_all_ranks=True,
            )
    except RuntimeError as error:
        missing = re.search(r"Ranks? ([\d, ]+) failed", str(error))
        who = f"Process {missing[1]}" if missing else "A process"
        raise LostProcessError(
            f"{who} did not reach {before} within {timeout_s:.0f} s, or was lost. Check its last "
            "message, its machine and its memory."
        ) from error


def sum_across_ranks(value: torch.Tensor) -> torch.Tensor:
    """Return the sum of ``value`` over all processes, detached; ``value`` is not modified."""
    total = value.detach().clone()
    if is_distributed():
        with waiting():
            dist.all_reduce(total)
    return total


def max_across_ranks(value: torch.Tensor) -> torch.Tensor:
    """Return the elementwise maximum of ``value`` over all processes; ``value`` is not modified."""
    largest = value.detach().clone()
    if is_distributed():
        with waiting():
            dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return largest


def average_in_place(tensors: Iterable[torch.Tensor]) -> None:
    """Replace floating-point tensors by their mean over all processes; one all-reduce per dtype."""
    if not is_distributed():
        return
    by_type: dict[torch.dtype, list[torch.Tensor]] = defaultdict(list)
    for tensor in tensors:
        if tensor.is_floating_point():
            by_type[tensor.dtype].append(tensor)
    for group in by_type.values():
        flat = torch.cat([tensor.reshape(-1) for tensor in group])
        with waiting():
            dist.all_reduce(flat)
        means = torch.split(flat / world_size(), [tensor.numel() for tensor in group])
        for tensor, mean in zip(group, means, strict=True):
            tensor.copy_(mean.view_as(tensor))


def gather_objects(item: Item) -> list[Item]:
    """Return the items of all processes, ordered by rank, on every process."""
    if not is_distributed():
        return [item]
    items: list[Any] = [None] * world_size()
    with waiting():
        dist.all_gather_object(items, item, group=_host_group(dist.group.WORLD))
    return items


def broadcast_object(item: Item) -> Item:
    """Return rank 0's ``item`` on every process."""
    if not is_distributed():
        return item
    box: list[Any] = [item]
    with waiting():
        dist.broadcast_object_list(box, src=0, group=_host_group(dist.group.WORLD))
    return box[0]


@functools.lru_cache(maxsize=1)
def _standing(world: dist.ProcessGroup) -> Standing:
    """Return the standing of this process in a process group."""
    return Standing()


@functools.lru_cache(maxsize=1)
def _host_group(world: dist.ProcessGroup) -> dist.ProcessGroup:
    """Return a gloo group of all processes, which needs no GPU memory and reports missing ranks."""
    if dist.get_backend(world) == dist.Backend.GLOO:
        return world
    return dist.new_group(backend="gloo")
