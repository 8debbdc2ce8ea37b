"""What training and evaluation need of the parts that they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from torch import Tensor

from easnn.data import DetectionBatch

Prepare = Callable[[DetectionBatch], tuple[Tensor, Tensor]]
"""Makes events ``[B,Tl,Tm,C,h,w]`` and targets ``[B,N,5]``, in network pixels, from a batch on the device."""


class StartAt(Protocol):
    """A sampler that can begin anywhere."""

    def start_at(self, epoch: int, step: int = 0) -> None:
        """Let the next iteration yield the batches of ``epoch`` from ``step`` to its end."""
        ...


class TrainLoader(Protocol):
    """This process's part of the batches of an epoch."""

    @property
    def sampler(self) -> StartAt:
        """Chooses what the next iteration yields."""
        ...

    def __len__(self) -> int:
        """Return the number of steps of a whole epoch."""
        ...

    def __iter__(self) -> Iterator[DetectionBatch]:
        """Yield the batches from where the sampler starts to the end of that epoch."""
        ...


class EvalLoader(Protocol):
    """This process's part of the frames to evaluate, each exactly once over all processes."""

    def __len__(self) -> int:
        """Return the number of batches; it may be 0."""
        ...

    def __iter__(self) -> Iterator[DetectionBatch]:
        """Yield the batches."""
        ...


class RepeatFirstBatch:
    """A training loader whose every batch is the first one: can the model learn one batch by heart?

    Args:
        loader: Where the batch comes from.
    """

    def __init__(self, loader: TrainLoader) -> None:
        self._loader = loader
        self._steps_left = len(loader)

    @property
    def sampler(self) -> StartAt:
        """Chooses how many steps the next iteration has."""
        return self

    def start_at(self, epoch: int, step: int = 0) -> None:
        """Let the next iteration have the steps that are left of an epoch."""
        self._steps_left = len(self) - step

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[DetectionBatch]:
        self._loader.sampler.start_at(0)
        batch = next(iter(self._loader))
        for _ in range(self._steps_left):
            yield batch
