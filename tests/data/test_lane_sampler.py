"""What the lanes of a training play."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_timeline_sampler import timeline_of

from easnn.data import (
    UNLABELLED,
    DetectionDataset,
    Frame,
    LaneSampler,
    RandomPlacementPolicy,
    SampleRequest,
    Timeline,
    build_lane_loader,
)
from easnn.utils.errors import ConfigError

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def lanes_of(sampler: LaneSampler, clip: int, epoch: int = 0) -> list[list[list[SampleRequest]]]:
    """Return the clips of each lane in an epoch."""
    sampler.start_at(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    clips = [[b[at : at + clip] for at in range(0, len(b), clip)] for b in batches]
    return [list(lane) for lane in zip(*clips, strict=True)]


def check_row(timeline: Timeline, row: list[SampleRequest]) -> None:
    """Check windows that are played in a row, beginning with an empty memory."""
    first = row[0].window
    for number, request in enumerate(row):
        assert request.window is not None
        assert request.index == timeline.frames[request.window]
        assert request.begins == (number == 0 or timeline.begins[request.window])
        first = request.window if request.begins else first
        assert request.drawn_for == first


@given(LENGTHS, st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(0, 5))
def test_streams_play_every_window_once(
    lengths: list[int], every: int, clip: int, streams: int, epoch: int
) -> None:
    timeline = timeline_of(lengths, every)
    sampler = LaneSampler(timeline, streams, clip=clip, streams=streams, seed=4)
    lanes = lanes_of(sampler, clip, epoch)
    rows = [[request for part in lane for request in part] for lane in lanes]
    assert len(rows) == streams
    assert len({len(row) for row in rows}) == 1
    for row in rows:
        check_row(timeline, row)
    played = [request.window for row in rows for request in row]
    assert sorted(played[: len(timeline)]) == list(range(len(timeline)))
    # The rest repeats the start, and is less than one clip of each stream.
    rest = played[len(timeline) :]
    assert len(rest) < clip * streams
    assert rest == [played[at % len(timeline)] for at in range(len(rest))]
    for before, after in pairwise(played):
        if not timeline.begins[after]:
            assert after == before + 1  # recordings are played in their order


@given(LENGTHS, st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_other_lanes_end_at_labelled_frames(
    lengths: list[int], every: int, clip: int, others: int
) -> None:
    timeline = timeline_of(lengths, every)
    frames = int((timeline.frames != UNLABELLED).sum())
    sampler = LaneSampler(timeline, others, clip=clip, streams=0, seed=4)
    lanes = lanes_of(sampler, clip)
    ends = [lane[step][-1].index for step in range(len(sampler)) for lane in lanes]
    assert sorted(ends[:frames]) == list(range(frames))
    assert ends[frames:] == ends[: len(ends) - frames]
    for lane in lanes:
        for part in lane:
            check_row(timeline, part)
            windows = [request.window for request in part]
            steps = np.diff([w for w in windows if w is not None]) % len(timeline)
            assert (steps == (1 % len(timeline))).all()


@given(LENGTHS, st.integers(1, 4), st.integers(0, 4), st.integers(1, 3), st.integers(0, 3))
def test_lanes_are_the_same_for_any_number_of_processes_and_start(
    lengths: list[int], batch: int, streams: int, world_size: int, start: int
) -> None:
    timeline = timeline_of(lengths, 2)
    batch = max(batch, world_size)
    streams = min(streams, batch)
    settings = {"clip": 3, "streams": streams, "seed": 1}
    whole = lanes_of(LaneSampler(timeline, batch, **settings), 3, epoch=2)
    parts = [
        LaneSampler(timeline, batch, **settings, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert [lane for part in parts for lane in lanes_of(part, 3, epoch=2)] == whole
    sampler = parts[0]
    sampler.start_at(2)
    batches = list(sampler)
    sampler.start_at(2, start, steps=2)
    assert list(sampler) == batches[start : start + 2]
    sampler.start_at(3)
    assert len(list(sampler)) == len(batches)


def test_fewer_clips_than_processes() -> None:
    with pytest.raises(ConfigError) as error:
        LaneSampler(timeline_of([4], 1), 1, clip=2, streams=0, seed=0, rank=0, world_size=2)
    assert str(error.value) == (
        "The batch size (-b) must be at least the number of processes (2), but is 1. It counts "
        "the samples of all processes together."
    )


class Recordings(DetectionDataset):
    """Three recordings; every second frame is labelled with a box that says which it is."""

    name, split, sensor_hw, class_names = "noise", "train", (24, 48), ("car",)
    lengths = (5, 3, 8)

    def __len__(self) -> int:
        return int((self.timeline().frames != UNLABELLED).sum())

    def timeline(self) -> Timeline:
        return timeline_of(list(self.lengths), 2)

    def load(self, index: int) -> Frame:
        timeline = self.timeline()
        window = int(np.flatnonzero(timeline.frames == index)[0])
        boxes = torch.tensor([[0, index, 2, 12, 10]], dtype=torch.float32)
        frame = self.load_between(int(timeline.recordings[window]), int(timeline.ends[window]))
        return frame._replace(boxes=boxes)

    def load_between(self, recording: int, end: int) -> Frame:
        counts = torch.full((1, 1, 2, *self.sensor_hw), 10 * recording + end, dtype=torch.uint8)
        return Frame(counts, torch.zeros(0, 5), end, str(recording))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_windows_of_a_row_are_placed_alike(workers: int) -> None:
    loader = build_lane_loader(
        Recordings(),
        RandomPlacementPolicy((32, 64), jitter=0.3),
        batch_size=3,
        clip=2,
        streams=2,
        seed=3,
        num_workers=workers,
        device=torch.device("cpu"),
    )
    timeline = Recordings().timeline()
    loader.sampler.start_at(1)
    current: dict[int, object] = {}  # placement of each stream
    seen = set()
    batches = list(loader)
    assert len(batches) == len(loader) == 4
    for batch in batches:
        assert len(batch) == 6
        assert batch.begins[4]  # the lane that is no stream
        for at in range(4):
            if batch.begins[at]:
                current[at // 2] = batch.placements[at]
            assert batch.placements[at] == current[at // 2]
            seen.add(batch.placements[at])
        for at, index in enumerate(batch.indices):
            recording, end = int(batch.sequences[at]), batch.times_us[at]
            assert (batch.events[at] == 10 * recording + end).all()
            (window,) = np.flatnonzero((timeline.recordings == recording) & (timeline.ends == end))
            assert timeline.frames[window] == index
            assert len(batch.ground_truth()[at]) == int(index != UNLABELLED)
    assert len(seen) > 2  # rows differ
