"""Counting, over the processes of a loader, where frames came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.utils.data import get_worker_info


@dataclass(frozen=True)
class Hits:
    """How frames were got.

    Attributes:
        found: frames that were in the cache.
        made: frames that were made from events.
        refused: those of them that the cache had no room for.
    """

    found: int = 0
    made: int = 0
    refused: int = 0

    def __add__(self, other: Self) -> Hits:
        return Hits(self.found + other.found, self.made + other.made, self.refused + other.refused)

    def __sub__(self, other: Self) -> Hits:
        return Hits(self.found - other.found, self.made - other.made, self.refused - other.refused)

    @property
    def rate(self) -> float | None:
        """The part that was found, 0 to 1; None if there were no frames."""
        frames = self.found + self.made
        return self.found / frames if frames else None


class HitCounter:
    """Counts in memory that a process shares with its data workers; each has a row of its own.

    Args:
        num_workers: data workers of this process.
    """

    def __init__(self, num_workers: int) -> None:
        counts = torch.zeros(num_workers + 1, 3, dtype=torch.int64)
        self._counts: Tensor = counts.share_memory_()  # type: ignore[no-untyped-call]

    def add(self, hits: Hits) -> None:
        """Count some frames; called by the process that loaded them."""
        worker = get_worker_info()
        row = self._counts[0 if worker is None else worker.id + 1]
        row += torch.tensor([hits.found, hits.made, hits.refused])

    def total(self) -> Hits:
        """Return the sum over all processes that share this counter."""
        return Hits(*self._counts.sum(dim=0).tolist())
