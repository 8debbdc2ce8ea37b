from __future__ import annotations

import pytest

from easnn.utils import meters
from easnn.utils.meters import Stopwatch, format_duration


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(meters.time, "perf_counter", lambda: now[0])

    def advance(seconds):
        now[0] += seconds

    return advance


def test_parts_are_added_up(clock):
    stopwatch = Stopwatch()
    for seconds in (1.0, 2.0):
        with stopwatch.measure("work"):
            clock(seconds)
        clock(1.0)
    assert stopwatch.seconds == {"work": 3.0}
    assert stopwatch.elapsed == 5.0
    assert stopwatch.share("work") == pytest.approx(0.6)
    assert stopwatch.share("other") == 0.0


def test_waiting_for_items_is_measured_and_using_them_is_not(clock):
    def items():
        for item in range(3):
            clock(2.0)
            yield item

    stopwatch = Stopwatch()
    for _ in stopwatch.waiting(items(), "data"):
        clock(10.0)
    assert stopwatch.seconds == {"data": 6.0}


def test_reset_starts_anew(clock):
    stopwatch = Stopwatch()
    with stopwatch.measure("work"):
        clock(1.0)
    stopwatch.reset()
    clock(2.0)
    assert (stopwatch.seconds, stopwatch.elapsed) == ({}, 2.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00:00"), (59.6, "00:01:00"), (3661, "01:01:01"), (2 * 86400 + 5, "2 d 00:00:05")],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text
