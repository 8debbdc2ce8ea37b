"""Folders of golden numbers and recordings; tests that need a missing one are skipped."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

# Read when torch is loaded: tests run side by side, so each process and those that it starts get
# one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell lets what it starts in the background ignore SIGINT, and so would every process that a
# test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

import torch  # noqa: E402
from hypothesis import settings  # noqa: E402
from small_parts import OBJECTS, FixedDetector  # noqa: E402

from easnn.models import DetectorConfig  # noqa: E402

# Property tests draw the same examples in every run. `--hypothesis-profile wide` draws others, and
# many more.
settings.register_profile("same", derandomize=True, database=None, deadline=None, max_examples=100)
settings.register_profile(
    "wide", settings.get_profile("same"), derandomize=False, max_examples=2000
)
settings.load_profile("same")

SHARED = Path(os.environ.get("EASNN_TEST_DATA", Path(__file__).resolve().parents[2] / "shared"))


def _folder(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing; set EASNN_TEST_DATA to the folder that holds `{name}`")
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Begin every test with one thread, so that it may set another number.

    More threads than cores wait for each other: a number that stays would slow down what follows.
    Sums are reproducible with one, and the first threaded `exp` may be wrong.
    """
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)  # fixtures of a module are set up before the next test begins


@pytest.fixture(scope="session")
def golden() -> Path:
    """Reference numbers of the published implementation."""
    return _folder("golden")


@pytest.fixture(scope="session")
def real() -> Path:
    """Small recordings made by real event cameras."""
    return _folder("real")


@pytest.fixture(scope="session")
def field() -> Path:
    """Small files like those that users of comparable software had trouble with."""
    return _folder("field")


@pytest.fixture
def detector() -> FixedDetector:
    """Finds a sure car, a less sure pedestrian, and a car of which nobody would be sure."""
    return FixedDetector(OBJECTS).train()


@pytest.fixture
def sampling_detector() -> FixedDetector:
    """Finds the same, behind an adaptive sampler that nobody trained."""
    torch.manual_seed(0)
    return FixedDetector(
        OBJECTS, DetectorConfig(embedding="arsnn", embedding_ksize=3, thresh=0.3)
    ).train()
