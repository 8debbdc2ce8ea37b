"""What a training does is seen in its files."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from easnn.engine import RunDirectory
from easnn.engine.run_directory import MARK
from easnn.soak.sight import Sight, Watch
from easnn.utils.files import write_json


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run that was killed after three steps, while it saved."""
    run = RunDirectory(tmp_path)
    own(run, "first")
    record(run, {"kind": "train", "iteration": 3, "step": 3, "time": time.time() - 60})
    (tmp_path / ".latest_ckpt.pth.abcd1234").touch()
    return run


def own(run: RunDirectory, token: str) -> None:
    run.results.mkdir(exist_ok=True)
    write_json(run.owner, {"mark": MARK, "token": token})


def record(run: RunDirectory, line: dict[str, object]) -> None:
    with run.metrics.open("a") as file:
        file.write(json.dumps(line) + "\n")


def step(run: RunDirectory, iteration: int, step: int) -> None:
    record(run, {"kind": "train", "iteration": iteration, "step": step, "time": time.time()})
    os.utime(run.metrics, ns=(iteration, iteration))


def watch(run: RunDirectory) -> Watch:
    return Watch(run, steps_per_epoch=5)


def test_a_run_that_is_resumed(run: RunDirectory) -> None:
    seen = watch(run)
    assert seen.sight() == Sight("start-up", 3)
    own(run, "second")
    assert seen.sight() == Sight("resuming", 3)
    step(run, 4, 4)
    assert seen.sight() == Sight("step", 4)
    unfinished = run.path / ".latest_ckpt.pth.efgh5678"
    unfinished.touch()
    assert seen.sight() == Sight("saving", 4)
    unfinished.unlink()
    (run.path / ".metrics.jsonl.efgh5678").touch()  # is no checkpoint
    assert seen.sight() == Sight("step", 4)
    step(run, 5, 5)
    assert seen.sight() == Sight("step", 5)
    run.latest.touch()
    assert seen.sight() == Sight("evaluating", 5)
    record(run, {"kind": "eval", "iteration": 5})
    assert seen.sight() == Sight("step", 5)


def test_a_run_that_is_new(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    seen = watch(run)
    assert seen.sight() == Sight("start-up", 0)
    run.path.mkdir()
    own(run, "first")
    assert seen.sight() == Sight("resuming", 0)
    (run.results / "epoch_0.json").touch()
    assert seen.sight() == Sight("step", 0)


def test_a_run_that_resumes_with_an_evaluation(run: RunDirectory) -> None:
    result = run.results / "epoch_1.json"
    result.touch()
    seen = watch(run)
    own(run, "second")
    assert seen.sight() == Sight("resuming", 3)
    os.utime(result, ns=(1, 1))
    assert seen.sight() == Sight("step", 3)


def test_a_line_that_is_not_complete_yet(run: RunDirectory) -> None:
    with run.metrics.open("a") as file:
        file.write('{"kind": "tra')
    assert watch(run).sight() == Sight("start-up", 3)
