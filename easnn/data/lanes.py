"""Clips of consecutive windows for training, a pure function of (seed, epoch), in lanes.

Clip i of each batch belongs to lane i. The first lanes are streams: each plays a stretch of an
epoch's windows, clip after clip, so a memory can be carried from batch to batch. The others play
clips from anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from easnn.data.sampler import SampleRequest, check_batch_size, part_of_rank
from easnn.data.timeline import UNLABELLED, Timeline
from easnn.utils.seeding import generator


class LaneSampler(Sampler[list[SampleRequest]]):
    """Batches of clips for training; iterating yields this rank's part of those of one epoch.

    In an epoch the streams play every window once. The recordings are permuted and their W windows
    strung together; each of S streams plays ⌈W / (L·S)⌉·L of them in a row, L at each step. The
    last one goes on with the first windows where they end. The memory is empty at the start of an
    epoch and where a recording begins.

    The other lanes play clips that end at a labelled frame, drawn as for single frames: each frame
    once before any occurs again. The memory is empty at the start of each clip. A clip that reaches
    beyond the beginning of its recording begins with the end of the recording before.

    Lane i is the same for any number of processes R: rank r has the lanes ``[r·B//R, (r+1)·B//R)``.

    Args:
        timeline: windows of the dataset.
        batch_size: clips B per step over all ranks.
        clip: windows L of a clip.
        streams: number S of lanes that are streams, at most B.
        seed: seed of the order.
        rank: this process.
        world_size: number of processes R.

    Raises:
        ConfigError: if a rank would have no clip in a step.
    """

    def __init__(
        self,
        timeline: Timeline,
        batch_size: int,
        *,
        clip: int,
        streams: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        check_batch_size(batch_size, world_size)
        self._timeline = timeline
        self._labelled = np.flatnonzero(timeline.frames != UNLABELLED)
        self._clip = clip
        self._streams = streams
        self._others = batch_size - streams
        self._seed = seed
        self._lanes = part_of_rank(batch_size, rank, world_size)
        self._epoch = 0
        self._steps = range(len(self))

    def __len__(self) -> int:
        """Return the number of steps in a whole epoch."""
        if self._streams:
            return -(-len(self._timeline) // (self._clip * self._streams))
        return -(-len(self._labelled) // self._others)

    def start_at(self, epoch: int, step: int = 0, *, steps: int | None = None) -> None:
        """Let the next iteration yield the batches of ``epoch`` from ``step`` to its end.

        With ``steps``, it yields at most so many.
        """
        self._epoch = epoch
        self._steps = range(len(self))[step:][:steps]

    def __iter__(self) -> Iterator[list[SampleRequest]]:
        lanes = [
            self._stream(lane) if lane < self._streams else self._random(lane - self._streams)
            for lane in self._lanes
        ]
        for step in self._steps:
            yield [request for lane in lanes for request in lane[step]]

    def _stream(self, lane: int) -> list[list[SampleRequest]]:
        """Return the clips of a stream in the order of the steps."""
        timeline = self._timeline
        starts = timeline.starts
        ends = np.append(starts[1:], len(timeline))
        recordings = generator(self._seed, "recordings", self._epoch).permutation(len(starts))
        windows = np.concatenate([np.arange(starts[r], ends[r]) for r in recordings])
        stretch = len(self) * self._clip
        played = windows[np.arange(lane * stretch, (lane + 1) * stretch) % len(windows)]
        requests = self._requests(played)
        return [requests[at : at + self._clip] for at in range(0, stretch, self._clip)]

    def _random(self, lane: int) -> list[list[SampleRequest]]:
        """Return the clips of a lane that is no stream, in the order of the steps."""
        order = generator(self._seed, "order", self._epoch).permutation(len(self._labelled))
        numbers = order[(np.arange(len(self)) * self._others + lane) % len(order)]
        back = np.arange(1 - self._clip, 1)
        return [
            self._requests((last + back) % len(self._timeline)) for last in self._labelled[numbers]
        ]

    def _requests(self, windows: np.ndarray) -> list[SampleRequest]:
        """Return requests of windows that are played in a row, beginning with an empty memory."""
        begins = self._timeline.begins[windows]
        begins[0] = True
        first = np.maximum.accumulate(np.where(begins, np.arange(len(windows)), 0))
        return [
            SampleRequest(self._epoch, int(self._timeline.frames[w]), int(w), bool(begin), int(f))
            for w, begin, f in zip(windows, begins, windows[first], strict=True)
        ]
