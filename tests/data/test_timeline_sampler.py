"""The windows of a time line, divided among processes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from easnn.data import UNLABELLED, Timeline, TimelineSampler


def timeline_of(lengths: list[int], labelled_every: int) -> Timeline:
    """Return recordings of some windows; the last of each is labelled, and some before it."""
    recordings = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    ends = np.concatenate([np.arange(n) for n in lengths])
    left = np.concatenate([np.arange(n)[::-1] for n in lengths])
    labelled = left % labelled_every == 0
    frames = np.where(labelled, np.cumsum(labelled) - 1, UNLABELLED)
    return Timeline(recordings, ends, frames, ends == 0)


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=8),
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(1, 9),
)
def test_ranks_take_whole_recordings(
    lengths: list[int], labelled_every: int, world_size: int, batch_size: int, limit: int
) -> None:
    timeline = timeline_of(lengths, labelled_every)
    for limited in (False, True):
        windows = []
        for rank in range(world_size):
            sampler = TimelineSampler(timeline, batch_size, rank=rank, world_size=world_size)
            if limited:
                sampler.limit(limit)
            batches = list(sampler)
            assert len(batches) == len(sampler)
            requests = [request for batch in batches for request in batch]
            assert not requests or requests[0].begins
            for request in requests:
                assert request.index == timeline.frames[request.window]
                assert request.begins == timeline.begins[request.window]
            windows += [request.window for request in requests]
        assert windows == list(range(len(windows)))
        frames = np.flatnonzero(timeline.frames[: len(windows)] != UNLABELLED)
        total = int((timeline.frames != UNLABELLED).sum())
        assert len(frames) == (min(limit, total) if limited else total)
