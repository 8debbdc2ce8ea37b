from __future__ import annotations

from itertools import chain

import pytest

from easnn.data import EpochSampler, EvaluationSampler, SampleRequest
from easnn.utils.errors import ConfigError


def indices(sampler):
    return [[request.index for request in batch] for batch in sampler]


def epoch(sampler, number, step=0):
    sampler.start_at(number, step)
    return indices(sampler)


def test_an_epoch_holds_every_sample_and_is_filled_up_from_its_start():
    sampler = EpochSampler(10, 4, seed=1)
    batches = epoch(sampler, 0)
    assert len(sampler) == len(batches) == 3
    order = [index for batch in batches for index in batch]
    assert sorted(order[:10]) == list(range(10))
    assert order[10:] == order[:2]


def test_fewer_samples_than_one_batch():
    (batch,) = epoch(EpochSampler(3, 8, seed=1), 0)
    assert sorted(batch[:3]) == [0, 1, 2]
    assert batch == (batch[:3] * 3)[:8]


def test_order_is_a_function_of_seed_and_epoch():
    sampler = EpochSampler(50, 5, seed=1)
    first, second = epoch(sampler, 0), epoch(sampler, 1)
    assert first != second
    assert epoch(sampler, 0) == first
    assert epoch(EpochSampler(50, 5, seed=1), 1) == second
    assert epoch(EpochSampler(50, 5, seed=2), 0) != first
    assert sorted(chain(*first)) == list(range(50)) != list(chain(*first))


def test_requests_carry_the_epoch():
    sampler = EpochSampler(2, 2, seed=1)
    sampler.start_at(6)
    (batch,) = sampler
    assert {request.epoch for request in batch} == {6}
    assert all(isinstance(request, SampleRequest) for request in batch)


@pytest.mark.parametrize("step", [0, 1, 3, 4])
def test_resuming_yields_the_rest_of_the_epoch(step):
    whole = epoch(EpochSampler(15, 4, seed=1), 2)
    assert epoch(EpochSampler(15, 4, seed=1), 2, step) == whole[step:]


@pytest.mark.parametrize(("batch_size", "world_size"), [(8, 2), (8, 4), (58, 4), (7, 7)])
def test_ranks_together_see_the_batches_of_one_process(batch_size, world_size):
    whole = epoch(EpochSampler(100, batch_size, seed=1), 3)
    ranks = [
        epoch(EpochSampler(100, batch_size, seed=1, rank=rank, world_size=world_size), 3)
        for rank in range(world_size)
    ]
    assert [list(chain(*parts)) for parts in zip(*ranks, strict=True)] == whole
    sizes = {len(batch) for batches in ranks for batch in batches}
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("batch_size", "world_size"), [(4, 1), (4, 2), (5, 3), (7, 7)])
def test_a_step_can_have_several_batches(batch_size, world_size):
    """Part m of a step is, over all ranks, batch m of these, so that each is normalised as one."""
    order = [*chain(*epoch(EpochSampler(100, 100, seed=1), 3))]
    ranks = [
        EpochSampler(100, batch_size, seed=1, rank=rank, world_size=world_size, accumulate=3)
        for rank in range(world_size)
    ]
    steps = [epoch(sampler, 3) for sampler in ranks]
    assert {len(sampler) for sampler in ranks} == {-(-100 // (3 * batch_size))}
    assert {len(of_rank) for of_rank in steps} == {len(ranks[0])}
    parts = []
    for of_ranks in zip(*steps, strict=True):
        sizes = [len(of_rank) // 3 for of_rank in of_ranks]
        for m in range(3):
            parts += [
                list(chain(*(r[m * n : (m + 1) * n] for r, n in zip(of_ranks, sizes, strict=True))))
            ]
    assert {len(part) for part in parts} == {batch_size}
    seen = list(chain(*parts))
    assert seen == (order * 2)[: len(seen)]
    assert epoch(ranks[0], 3, 1) == steps[0][1:]


def test_a_rank_needs_a_sample():
    with pytest.raises(ConfigError) as caught:
        EpochSampler(100, 3, seed=1, world_size=4)
    assert str(caught.value) == (
        "The batch size (-b) must be at least the number of processes (4), but is 3. It counts the "
        "samples of all processes together."
    )


@pytest.mark.parametrize("length", [0, 1, 3, 10, 17])
@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_evaluation_sees_each_frame_once_in_order(length, world_size, batch_size):
    seen = []
    for rank in range(world_size):
        sampler = EvaluationSampler(length, batch_size, rank=rank, world_size=world_size)
        batches = indices(sampler)
        assert len(batches) == len(sampler)
        assert all(0 < len(batch) <= max(1, batch_size // world_size) for batch in batches)
        seen += chain(*batches)
    assert seen == list(range(length))
