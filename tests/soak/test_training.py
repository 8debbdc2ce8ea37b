"""The processes of a training are found and killed."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import family_program
import pytest

from easnn.soak import Program
from easnn.soak.plan import Victim
from easnn.soak.training import Training, Trainings

PROGRAM = Program(lambda _words: 0, (sys.executable, family_program.__file__), ())
LIMIT_S = 60


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Training]:
    """A program with two processes that train, each of which has a worker."""
    (tmp_path / "begun").mkdir()
    trainings = Trainings(PROGRAM, tmp_path)
    training = trainings.start([str(tmp_path / "begun")], tmp_path / "out", forked=False)
    names = {"0", "0-worker", "1", "1-worker"}
    wait_until(lambda: {path.name for path in (tmp_path / "begun").iterdir()} == names)
    yield training
    training.kill()


def wait_until(holds: object) -> None:
    assert callable(holds)
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def send(training: Training, victim: Victim, choice: float = 0.0) -> bool:
    return training.send(signal.SIGKILL, victim, processes=2, choice=choice)


def test_parts_of_a_training_are_killed_one_by_one(family: Training) -> None:
    begun = {*family.living()}
    assert len(begun) == 6  # with the process that cleans up for multiprocessing
    for choice, left in ((0.99, 5), (0.0, 4)):
        assert send(family, "worker", choice)
        wait_until(lambda left=left: len(family.living()) == left)
    assert not send(family, "worker")
    assert send(family, "rank", 0.5)
    wait_until(lambda: len(family.living()) == 3)
    assert family.exit_code is None
    assert send(family, "main")
    assert family.wait(LIMIT_S) == -9
    assert not send(family, "rank")


def test_all_processes_of_a_training_are_killed_at_once(family: Training) -> None:
    assert send(family, "all")
    assert family.wait(LIMIT_S) == -9
    wait_until(lambda: not family.living())
