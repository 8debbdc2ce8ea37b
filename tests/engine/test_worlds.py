"""What several processes do together: the same as one, or an error that names who is missing."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_toys import (
    LENGTH,
    NormalisedToy,
    ToyDetector,
    build_trainer,
    evaluate,
    prepare_double,
    train_loader,
)
from trainer_runs import train_lines
from worlds import CABLE, World

from easnn.checkpoints import load_checkpoint
from easnn.data import EvaluationSampler
from easnn.engine import RunDirectory, TrainConfig
from easnn.utils import distributed
from easnn.utils.errors import DataError

PLAN = TrainConfig(max_epoch=2, eval_interval=2, freeze_bn=True)
HOST = socket.gethostname()


def train_and_evaluate(path: Path) -> dict[str, object]:
    """Train in float64; return the samples of this process, and the results of evaluations."""
    loader = train_loader()
    seen = []
    for epoch in range(2):
        loader.sampler.start_at(epoch)
        seen += [batch.indices for batch in loader]
    torch.manual_seed(0)
    model = ToyDetector().double()
    best_ap = build_trainer(path, PLAN, model=model, prepare=prepare_double).train().best_ap
    torch.manual_seed(0)
    few = ToyDetector()
    return {
        "seen": seen,
        "best_ap": best_ap,
        "evaluated": [evaluate(few, length=length).to_dict() for length in (0, 1, 2, LENGTH)],
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    path = tmp_path_factory.mktemp("alone")
    return train_and_evaluate(path), load_checkpoint(RunDirectory(path).latest)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_processes_do_together_what_one_does(tmp_path, alone, size):
    """The parts of a batch of 4 differ in size for 3 processes; some evaluate no frame."""
    of_one, checkpoint = alone
    with World(train_and_evaluate, (tmp_path / "run",), size, tmp_path) as world:
        found = world.results()
    together = [sum(parts, ()) for parts in zip(*(f["seen"] for f in found), strict=True)]
    assert together == of_one["seen"]
    for of_process in found:
        assert of_process["best_ap"] == pytest.approx(of_one["best_ap"], abs=1e-12)
        assert of_process["evaluated"] == of_one["evaluated"]
    trained = load_checkpoint(RunDirectory(tmp_path / "run").latest)
    for name in ("model", "raw_model"):
        for key, value in checkpoint[name].items():
            torch.testing.assert_close(trained[name][key], value, rtol=0, atol=1e-12)


def train_with_recipe(path: Path, keys: dict[str, Any]) -> dict[str, list[float]]:
    """Train in float64 and return the weights and statistics of this process as numbers."""
    torch.manual_seed(0)
    model = NormalisedToy().double()
    config = PLAN.replace(print_interval=1, **keys)
    loader = train_loader(accumulate=config.accumulate)
    build_trainer(path, config, model=model, prepare=prepare_double, train_loader=loader).train()
    return {name: value.flatten().tolist() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    "keys",
    [
        {"clip_grad": 0.5},
        {"freeze": ("embedding", "norm"), "freeze_bn": False},
        {"accumulate": 3},
    ],
    ids=["clip_grad", "freeze", "accumulate"],
)
def test_recipes_are_the_same_with_two_processes(tmp_path, keys):
    alone = train_with_recipe(tmp_path / "alone", keys)
    with World(train_with_recipe, (tmp_path / "run", keys), 2, tmp_path) as world:
        first, second = world.results()
    lines = [train_lines(RunDirectory(tmp_path / name)) for name in ("alone", "run")]
    norms = [[line["grad_norm"] for line in of if line["kind"] == "train"] for of in lines]
    assert norms[0] == pytest.approx(norms[1], rel=1e-9)
    limit = keys.get("clip_grad")
    assert limit is None or max(norms[0]) > limit
    assert first == second
    for name, value in alone.items():
        assert first[name] == pytest.approx(value, rel=0, abs=1e-12), name


def test_some_processes_evaluate_no_frame():
    parts = [len(EvaluationSampler(2, 2, rank=rank, world_size=4)) for rank in range(4)]
    assert 0 in parts


def train_until_told(path: Path, how: str) -> None:
    """Train; process 1 fails in the seventh step, which is the second of the second epoch."""

    def schedule(iteration: int) -> float:
        if iteration == 6 and distributed.rank() == 1:
            (path / "reached").touch()
            if how == "data":
                raise DataError("File x is broken.")
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "stopped":
                os.kill(os.getpid(), signal.SIGSTOP)
            if how == "hangs":
                time.sleep(600)
        return 0.01

    config = TrainConfig(max_epoch=10**6, eval_interval=10**6, print_interval=1)
    build_trainer(path / "run", config, schedule=schedule).train()


def process(number: int, world: World, host: str = HOST) -> str:
    return f"Process {number} (pid {world.processes[number].pid} on {host})"


@pytest.mark.timeout(60)
def test_a_process_that_hangs_is_named(tmp_path):
    with World(train_until_told, (tmp_path, "hangs"), 3, tmp_path, timeout_s=5) as world:
        ends = [world.ended(rank) for rank in range(3)]
        who = process(1, world)
        assert set(ends) == {
            (
                1,
                f"error: {who} hangs: the others have waited for it for more than 5 s. It is in "
                "epoch 2, step 2. See what it does (`py-spy dump --pid "
                f"{world.processes[1].pid}`) and whether its disks answer; `--timeout` sets the "
                "limit.",
            )
        }


@pytest.mark.timeout(60)
def test_a_process_that_stands_still_is_named(tmp_path):
    with World(train_until_told, (tmp_path, "stopped"), 2, tmp_path, timeout_s=5) as world:
        code, said = world.ended(0)
        assert (code, said.split(". It was")[0]) == (
            1,
            f"error: {process(1, world)} was lost: it has given no sign of life for more than 5 s",
        )


@pytest.mark.timeout(60)
def test_a_process_that_was_killed_is_named_at_once(tmp_path):
    with World(train_until_told, (tmp_path, "killed"), 3, tmp_path) as world:
        assert world.ended(1).code == -signal.SIGKILL
        for rank in (0, 2):
            code, said = world.ended(rank)
            assert code == 1
            assert said.startswith(
                f"LostProcessError: {process(1, world)} was lost: it has given no "
            )


@pytest.mark.timeout(60)
def test_the_others_hear_why_a_process_failed(tmp_path):
    with World(train_until_told, (tmp_path, "data"), 3, tmp_path) as world:
        assert world.ended(1) == (1, "DataError: File x is broken.")
        for rank in (0, 2):
            code, said = world.ended(rank)
            assert code == 1
            who, what = said.split(": ", maxsplit=1)
            assert who in (
                "error",
                "LostProcessError",
            )  # from the watch, or as the connection broke
            assert what == f"{process(1, world)} failed: File x is broken."


def arrive_late() -> None:
    if distributed.rank() == 1:
        time.sleep(600)
    distributed.barrier("the next thing", timeout_s=1.0)


@pytest.mark.timeout(60)
def test_a_process_that_does_not_come_is_named(tmp_path):
    with World(arrive_late, (), 2, tmp_path) as world:
        assert world.ended(0) == (
            1,
            "LostProcessError: Process 1 did not reach the next thing within 1 s, or was lost. "
            "Check its last message, its machine and its memory.",
        )


@pytest.fixture
def two_machines():
    """Two networks with an address each, connected by a cable."""
    one, two = (f"easnn{os.getpid()}{letter}" for letter in "ab")

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        ip("netns", "add", one)
        ip("netns", "add", two)
        ip(
            "link",
            "add",
            "cable",
            "netns",
            one,
            "type",
            "veth",
            "peer",
            "name",
            "cable",
            "netns",
            two,
        )
        for network, address in ((one, "10.77.0.1/24"), (two, "10.77.0.2/24")):
            ip("-n", network, "address", "add", address, "dev", CABLE)
            ip("-n", network, "link", "set", "lo", "up")
            ip("-n", network, "link", "set", CABLE, "up")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"networks of their own are not allowed here: {error}")
    else:
        yield one, two
    finally:
        for network in (one, two):
            subprocess.run(["ip", "netns", "delete", network], capture_output=True)


@pytest.mark.timeout(90)
def test_a_machine_that_is_cut_off_ends_the_run_on_both(tmp_path, two_machines):
    with World(
        train_until_told,
        (tmp_path, "goes on"),
        2,
        tmp_path,
        address="10.77.0.1",
        networks=two_machines,
        timeout_s=5,
    ) as world:
        while not (tmp_path / "reached").exists():
            assert all(process.is_alive() for process in world.processes)
            time.sleep(0.05)
        cut = ["ip", "-n", two_machines[1], "link", "set", CABLE, "down"]
        subprocess.run(cut, check=True)
        (code, said), (code_of_two, said_of_two) = world.ended(0), world.ended(1)
        assert (code, code_of_two) == (1, 1)
        assert said.startswith(f"error: {process(1, world)} was lost: it has given no sign of ")
        assert re.match(
            r"error: Process 0 or its machine was lost: 10\.77\.0\.1:\d+ has not answered for 5 "
            r"s, in epoch \d+, step \d\. Check its last message, its machine and the network\.",
            said_of_two,
        )
