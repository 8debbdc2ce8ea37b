from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from multiprocessing import active_children, get_context

import pytest
import torch
from raw_layout import open_dataset

from easnn.data import (
    BatchLoader,
    Distortion,
    Erasing,
    EvaluationSampler,
    LetterboxPolicy,
    RandomPlacementPolicy,
    RequestedSamples,
    SampleRequest,
    Zoom,
    build_eval_loader,
    build_train_loader,
    named_worker_failures,
)
from easnn.data.loader import _ignore_stop_signals
from easnn.utils.errors import ConfigError, DataError

CPU = torch.device("cpu")
POLICY = RandomPlacementPolicy(
    (32, 64),
    jitter=0.3,
    zoom=Zoom(0.5),
    distortion=Distortion(rotation_deg=20, shear_deg=10),
    erasing=Erasing(0.5),
)


def train_loader(dataset, *, batch_size=4, num_workers=0, policy=POLICY, seed=3):
    return build_train_loader(
        dataset,
        policy,
        batch_size=batch_size,
        seed=seed,
        num_workers=num_workers,
        device=CPU,
        time_flip=0.3,
    )


def epoch(loader, number, step=0):
    loader.sampler.start_at(number, step)
    return [contents(batch) for batch in loader]


def contents(batch):
    """Return everything in a batch, as plain values that can be compared."""
    return (
        batch.events.tolist(),
        batch.boxes.tolist(),
        batch.placements,
        batch.indices,
        batch.times_us,
        batch.sequences,
    )


def failure_of(loader):
    """Return the message of the DataError of an iteration; its traceback would keep the workers."""
    try:
        list(loader)
    except DataError as error:
        return str(error)


KILLED = (
    "A data worker was killed (out of memory, or a recording that was cut off while it was read?): "
    "DataLoader worker (pid"
)


class KilledOnRead:
    """A dataset whose reader dies: out of memory, or as its file is cut off."""

    sensor_hw = (24, 32)

    def __init__(self, number):
        self.number = number

    def __len__(self):
        return 8

    def load(self, index):
        os.kill(os.getpid(), self.number)

    def load_at_speed(self, index, speed):
        return self.load(index)


def test_samples_know_where_they_come_from(small_dataset):
    sample = RequestedSamples(small_dataset, LetterboxPolicy((32, 64)), seed=3)[SampleRequest(0, 4)]
    frame = small_dataset.load(4)
    assert (sample.index, sample.time_us, sample.sequence) == (4, 60_000, "r1")
    assert sample.events.equal(frame.events)
    assert sample.boxes.equal(frame.boxes)
    assert (sample.placement.height_px, sample.placement.width_px) == (32, 42)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("num_workers", [1, 4])
def test_batches_do_not_depend_on_the_number_of_workers(small_dataset, num_workers):
    here, workers = (
        train_loader(small_dataset),
        train_loader(small_dataset, num_workers=num_workers),
    )
    for number in (0, 1):
        batches = epoch(here, number)
        assert len(batches) == len(here) == 3
        assert epoch(workers, number) == batches


def test_placements_depend_on_seed_epoch_and_index(small_dataset):
    samples = RequestedSamples(small_dataset, POLICY, seed=3)
    placements = {samples[SampleRequest(e, i)].placement for e in range(3) for i in range(5)}
    other = RequestedSamples(small_dataset, POLICY, seed=4)[SampleRequest(0, 0)].placement
    assert len(placements | {other}) == 16
    assert samples[SampleRequest(1, 2)].placement == samples[SampleRequest(1, 2)].placement


def test_frames_can_share_what_was_drawn_for_one_of_them(small_dataset):
    samples = RequestedSamples(small_dataset, POLICY, 3, (0.5, 2.0), 0.5)
    request = SampleRequest(2, 5)
    sample = samples[request]
    boxes, speed = small_dataset.label(5).boxes, samples.draw_speed(request)
    assert samples.draw_placement(request, boxes) == sample.placement
    assert samples.frame(5, speed).events.equal(sample.events)
    assert samples.frame(6, speed).events.equal(small_dataset.load_at_speed(6, speed).events)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_interrupted_epoch_continues_exactly(small_dataset, num_workers):
    whole = epoch(train_loader(small_dataset), 5)
    resumed = train_loader(small_dataset, num_workers=num_workers)
    assert epoch(resumed, 5, step=1) == whole[1:]
    resumed.sampler.start_at(5)
    for batch in resumed:  # left after its first batch
        assert contents(batch) == whole[0]
        break
    assert epoch(resumed, 5, step=2) == whole[2:]


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_together_see_the_samples_of_one_process(small_dataset, monkeypatch, world_size):
    whole = epoch(train_loader(small_dataset), 1)
    monkeypatch.setattr("easnn.data.loader.world_size", lambda: world_size)
    ranks = []
    for rank in range(world_size):
        monkeypatch.setattr("easnn.data.loader.rank", lambda rank=rank: rank)
        ranks.append(epoch(train_loader(small_dataset), 1))
    for step, parts in enumerate(zip(*ranks, strict=True)):
        for field in (0, 2, 3, 4, 5):  # boxes are filled up to the largest number of the part
            assert [item for part in parts for item in part[field]] == list(whole[step][field])


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_evaluating_ranks_together_see_each_frame_once(small_dataset, monkeypatch, world_size):
    monkeypatch.setattr("easnn.data.loader.world_size", lambda: world_size)
    seen = []
    for rank in range(world_size):
        monkeypatch.setattr("easnn.data.loader.rank", lambda rank=rank: rank)
        loader = build_eval_loader(
            small_dataset, LetterboxPolicy((32, 64)), batch_size=6, num_workers=0, device=CPU
        )
        seen += [index for batch in loader for index in batch.indices]
    assert seen == list(range(11))


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_evaluation_reads_each_frame_once_in_order(small_dataset, num_workers, batch_size):
    loader = build_eval_loader(
        small_dataset,
        LetterboxPolicy((32, 64)),
        batch_size=batch_size,
        num_workers=num_workers,
        device=CPU,
    )
    for _ in range(2):
        batches = list(loader)
        assert len(batches) == len(loader)
        assert [index for batch in batches for index in batch.indices] == list(range(11))
    truth = [rows for batch in batches for rows in batch.ground_truth()]
    assert all(
        rows.tolist() == small_dataset.load(i).boxes.tolist() for i, rows in enumerate(truth)
    )


def test_a_rank_without_frames(small_dataset):
    samples = RequestedSamples(small_dataset, LetterboxPolicy((32, 64)), seed=0)
    sampler = EvaluationSampler(1, 4, rank=0, world_size=2)
    loader = BatchLoader(samples, sampler, num_workers=1, device=CPU)
    assert (len(loader), list(loader)) == (0, [])


def test_loading_draws_nothing_from_the_process_wide_generator(small_dataset):
    before = torch.get_rng_state()
    epoch(train_loader(small_dataset), 0)
    epoch(train_loader(small_dataset, num_workers=1), 0)
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_data_error_arrives_as_it_was_raised(small_dataset, tmp_path, num_workers):
    broken = tmp_path / "train" / "r1_td.dat"
    broken.write_bytes(broken.read_bytes()[:-3])
    dataset = open_dataset(tmp_path)
    with pytest.raises(DataError) as direct:
        dataset.load(2)
    assert str(broken) in str(direct.value)
    assert failure_of(train_loader(dataset, num_workers=num_workers)) == str(direct.value)


class UnreadableFrames(KilledOnRead):
    def load(self, index):
        raise PermissionError(errno.EACCES, "Permission denied", "/data/a_td.dat")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_the_operating_system_refuses_a_worker_is_a_sentence(num_workers):
    frames = UnreadableFrames(signal.SIGKILL)
    assert failure_of(train_loader(frames, num_workers=num_workers)) == (
        "Cannot use /data/a_td.dat: Permission denied. Change its permissions, or give another "
        "path."
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGBUS])
def test_a_killed_worker_is_a_data_error(number):
    message = failure_of(train_loader(KilledOnRead(number), num_workers=2))
    assert message.startswith(KILLED)
    assert message.endswith(". Use fewer workers (`data_num_workers`) or a smaller batch (-b).")


def test_a_worker_killed_while_the_batch_is_used(small_dataset):
    loader = train_loader(small_dataset, num_workers=1)
    others = set(active_children())
    with pytest.raises(DataError, match=r"^A data worker was killed"), named_worker_failures():
        for _ in loader:
            (worker,) = set(active_children()) - others
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
            sum(range(1000))  # the signal handler runs here


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_workers_leave_stop_signals_to_the_main_process(small_dataset, stop):
    expected = epoch(train_loader(small_dataset, batch_size=1), 0)
    loader = train_loader(small_dataset, batch_size=1, num_workers=1)
    batches = iter(loader)
    seen = [contents(next(batches))]
    for worker in active_children():
        subprocess.run(
            ["kill", f"-{int(stop)}", str(worker.pid)], check=True
        )  # not from their parent
    seen += [contents(batch) for batch in batches]
    assert seen == expected


def wait_as_a_worker(ready):
    _ignore_stop_signals(0)
    ready.set()
    time.sleep(600)


def test_a_worker_ends_by_the_process_that_asked_a_server_to_fork_it():
    """So `multiprocessing` starts processes by default from Python 3.14 on."""
    context = get_context("forkserver")
    ready = context.Event()
    worker = context.Process(target=wait_as_a_worker, args=(ready,), daemon=True)
    worker.start()
    assert ready.wait(120)
    worker.terminate()
    worker.join(60)
    code = worker.exitcode
    worker.kill()
    assert code == 143


def test_other_failures_are_left_as_they_are():
    with pytest.raises(RuntimeError, match=r"^shapes differ$"), named_worker_failures():
        raise RuntimeError("shapes differ")


def test_more_processes_than_samples_in_a_batch(small_dataset, monkeypatch):
    monkeypatch.setattr("easnn.data.loader.world_size", lambda: 8)
    with pytest.raises(ConfigError):
        train_loader(small_dataset)
