"""The order of samples, a pure function of (seed, epoch), divided into batches and among ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from easnn.data.timeline import UNLABELLED, Timeline
from easnn.utils.errors import ConfigError
from easnn.utils.seeding import generator


@dataclass(frozen=True)
class SampleRequest:
    """What a sample depends on, besides the dataset and the seed.

    Attributes:
        epoch: of the training.
        index: the labelled frame, or :data:`~easnn.data.timeline.UNLABELLED`.
        window: the window of the time line; None without one.
        begins: whether the memory is empty before the window.
        drawn_for: the window of the time line with whose random numbers it is placed: the first one
            after the memory was empty; None: its own numbers.
    """

    epoch: int
    index: int
    window: int | None = None
    begins: bool = True
    drawn_for: int | None = None


class EpochSampler(Sampler[list[SampleRequest]]):
    """Shuffled batches for training; iterating yields this rank's part of the batches of one epoch.

    Batch k of epoch e is ``permutation(seed, e)[k·B : (k+1)·B]`` for any number of processes: rank
    r of R takes its entries ``[r·B//R, (r+1)·B//R)``, so all ranks together see the samples that
    one process would see with the same global batch size. The last batch is filled up with samples
    from the start of the epoch, so that every step has B samples.

    With ``accumulate`` N, a step has the samples of N such batches, one batch after the other.

    Args:
        length: number of samples in the dataset, at least 1.
        batch_size: global batch size B: samples per step over all ranks.
        seed: seed of the order.
        rank: this process.
        world_size: number of processes R.
        accumulate: number of batches in a step.

    Raises:
        ConfigError: if a rank would have no sample in a step.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        accumulate: int = 1,
    ) -> None:
        check_batch_size(batch_size, world_size)
        self._length = length
        self._step_size = accumulate * batch_size
        self._seed = seed
        part = np.array(part_of_rank(batch_size, rank, world_size))
        starts = np.arange(0, self._step_size, batch_size)
        self._part = (starts[:, None] + part).ravel()  # places in a step
        self._epoch = 0
        self._steps = range(len(self))

    def __len__(self) -> int:
        """Return the number of steps in a whole epoch."""
        return -(-self._length // self._step_size)

    def start_at(self, epoch: int, step: int = 0, *, steps: int | None = None) -> None:
        """Let the next iteration yield the batches of ``epoch`` from ``step`` to its end.

        With ``steps``, it yields at most so many.
        """
        self._epoch = epoch
        self._steps = range(len(self))[step:][:steps]

    def __iter__(self) -> Iterator[list[SampleRequest]]:
        epoch = self._epoch
        order = generator(self._seed, "order", epoch).permutation(self._length)
        for step in self._steps:
            positions = step * self._step_size + self._part
            yield [SampleRequest(epoch, int(index)) for index in order[positions % self._length]]


class EvaluationSampler(Sampler[list[SampleRequest]]):
    """Every frame exactly once, in order; each rank takes a contiguous part without padding.

    So ranks may have different numbers of batches, or none.

    Args:
        length: number of frames in the dataset.
        batch_size: frames per step over all ranks; each batch of a rank has at least one.
        rank: this process.
        world_size: number of processes R.
    """

    def __init__(self, length: int, batch_size: int, *, rank: int = 0, world_size: int = 1) -> None:
        self._length = length
        self._rank = rank
        self._world_size = world_size
        self._part = part_of_rank(length, rank, world_size)
        self._batch_size = max(1, batch_size // world_size)

    def limit(self, frames: int) -> None:
        """Let iterations yield the first ``frames`` frames only, divided among the ranks."""
        self._part = part_of_rank(min(frames, self._length), self._rank, self._world_size)

    def __len__(self) -> int:
        return -(-len(self._part) // self._batch_size)

    def __iter__(self) -> Iterator[list[SampleRequest]]:
        for start in range(0, len(self._part), self._batch_size):
            yield [
                SampleRequest(0, index) for index in self._part[start : start + self._batch_size]
            ]


class TimelineSampler(Sampler[list[SampleRequest]]):
    """Every window of a time line once, in order; each rank takes whole recordings.

    The recordings of a rank follow each other, and ranks have about as many windows, or none.

    Args:
        timeline: the windows.
        batch_size: windows per step over all ranks; each batch of a rank has at least one.
        rank: this process.
        world_size: number of processes R.
    """

    def __init__(
        self, timeline: Timeline, batch_size: int, *, rank: int = 0, world_size: int = 1
    ) -> None:
        self._timeline = timeline
        self._rank = rank
        self._world_size = world_size
        self._batch_size = max(1, batch_size // world_size)
        self._windows = self._part_of(len(timeline))

    def limit(self, frames: int) -> None:
        """Let iterations yield the windows up to the first ``frames`` labelled frames only."""
        labelled = np.flatnonzero(self._timeline.frames != UNLABELLED)[:frames]
        self._windows = self._part_of(int(labelled[-1]) + 1)

    def __len__(self) -> int:
        return -(-len(self._windows) // self._batch_size)

    def __iter__(self) -> Iterator[list[SampleRequest]]:
        timeline = self._timeline
        for start in range(0, len(self._windows), self._batch_size):
            yield [
                SampleRequest(0, int(timeline.frames[w]), w, bool(timeline.begins[w]))
                for w in self._windows[start : start + self._batch_size]
            ]

    def _part_of(self, windows: int) -> range:
        """Return this rank's part of the first windows."""
        starts = self._timeline.starts
        edges = [*starts[starts < windows].tolist(), windows]
        first, end = (
            edges[int(np.searchsorted(edges, r * windows // self._world_size))]
            for r in (self._rank, self._rank + 1)
        )
        return range(first, end)


def check_batch_size(batch_size: int, world_size: int) -> None:
    """Check that each process has a sample in a step.

    Raises:
        ConfigError: if one has none.
    """
    if batch_size < world_size:
        raise ConfigError(
            f"The batch size (-b) must be at least the number of processes ({world_size}), but "
            f"is {batch_size}. It counts the samples of all processes together."
        )


def part_of_rank(count: int, rank: int, world_size: int) -> range:
    """Return the contiguous part of ``range(count)`` for a rank; sizes differ by at most one."""
    return range(rank * count // world_size, (rank + 1) * count // world_size)
