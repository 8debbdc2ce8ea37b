"""Time of DAT events: wraps, late events, and windows of long recordings."""

from __future__ import annotations

import re

import numpy as np
import pytest

from easnn.events import dat_clock, open_dat, open_recording
from easnn.utils.errors import DataError

pytestmark = pytest.mark.usefixtures("decoders")

PERIOD = 2**32
HEADER = b"% Data file containing CD events.\n% Version 2\n\x0c\x08"


def naive_times(counters: np.ndarray) -> np.ndarray:
    """The definition, event by event."""
    times, wraps = [], 0
    for i, counter in enumerate(counters.tolist()):
        rise = counter - int(counters[i - 1]) if i else 0
        if rise < -(2**31):
            wraps += 1
        elif rise >= PERIOD - 1_000_000 and wraps > 0:
            wraps -= 1
        times.append(max(counter + PERIOD * wraps, times[-1] if times else 0))
    return np.array(times)


def assert_windows_equal(
    recording, times: np.ndarray, rng: np.random.Generator, trials: int
) -> None:
    assert (recording.first_us, recording.last_us) == (times[0], times[-1])
    assert np.array_equal(recording.events()["t_us"], times)
    for _ in range(trials):
        start, end = np.sort(rng.choice(times, 2) + rng.integers(-2, 3, 2)).tolist()
        inside = np.flatnonzero((times >= start) & (times < end))
        window = recording.window(start, end)
        assert np.array_equal(window["t_us"], times[inside])
        assert np.array_equal(window["x"], numbered(len(times))[inside])


def numbered(count: int) -> np.ndarray:
    """Words whose x tells which event it is."""
    return np.arange(count) % 16384


@pytest.mark.parametrize(
    ("counters", "times"),
    [
        ([10, 30, 20, 40], [10, 30, 30, 40]),
        ([PERIOD - 1, 0, 5], [PERIOD - 1, PERIOD, PERIOD + 5]),
        (
            [3, 0, 2_000_000_000, 4_000_000_000, 100, 2_000_000_000, 4_000_000_000, 50],
            [3, 3, 2e9, 4e9, PERIOD + 100, PERIOD + 2e9, PERIOD + 4e9, 2 * PERIOD + 50],
        ),
        ([2**31 + 1, 0, 1], [2**31 + 1, PERIOD, PERIOD + 1]),
        ([PERIOD - 9, 4, PERIOD - 2, 6], [PERIOD - 9, PERIOD + 4, PERIOD + 4, PERIOD + 6]),
        (
            [PERIOD - 9, 45_000, PERIOD - 1, 45_001],  # damage that does no harm
            [PERIOD - 9, PERIOD + 45_000, PERIOD + 45_000, PERIOD + 45_001],
        ),
    ],
    ids=[
        "late",
        "wrap",
        "silence",
        "fall of 2^31 + 1",
        "late over a wrap",
        "late over a wrap by 45 ms",
    ],
)
def test_time_of_each_event(raw_dat, counters, times):
    recording = open_dat(raw_dat(counters))
    assert recording.events()["t_us"].tolist() == times
    assert naive_times(np.array(counters)).tolist() == times
    assert recording.last_us == times[-1]


@pytest.mark.parametrize("seed", range(20))
def test_short_recordings_equal_the_definition(raw_dat, seed):
    rng = np.random.default_rng(seed)
    longest = int(rng.choice([100, 2**20, 2**31 - 3_000_000]))
    true = PERIOD + np.cumsum(rng.integers(0, longest, 200))
    counters = (true - rng.integers(0, 1_000_000, 200)) % PERIOD
    recording = open_dat(raw_dat(counters, numbered(200)))
    assert_windows_equal(recording, naive_times(counters), rng, trials=50)


def late_message(path, number: int, t_us: int) -> str:
    return (
        f"^Event {number} of {path} must not be more than 1 s before an earlier event of the file "
        rf"\(times run backwards\), but is t_us={t_us}, x={number}, y=0, p=0.$"
    )


@pytest.mark.parametrize(
    ("counters", "number", "t_us"),
    [
        ([2**31, 0, 1], 1, 0),
        ([5, 1_000_005, 4, 5, 2_000_000], 2, 4),
        ([PERIOD - 9, 2_000_000, 999_999, 7], 2, PERIOD + 999_999),
    ],
)
def test_times_that_run_backwards_are_found_when_a_file_is_opened(raw_dat, counters, number, t_us):
    path = raw_dat(counters, numbered(len(counters)))
    with pytest.raises(DataError, match=late_message(path, number, t_us)):
        open_dat(path)


def test_times_that_run_backwards_step_by_step(raw_dat):
    path = raw_dat([2_000_000, 1_500_000, 999_999], numbered(3))
    recording = open_dat(path)
    for read in (recording.events, recording.late_events):
        with pytest.raises(DataError, match=late_message(path, 2, 999_999)):
            read()


@pytest.mark.parametrize("restart", [150_000, 299_000])
def test_a_clock_that_restarts_in_a_long_recording(raw_dat, restart):
    counters = np.arange(300_000) * 10
    counters[restart:] -= counters[restart]
    path = raw_dat(counters, numbered(300_000))
    message = f"^Event {restart} of {path} must not be more than 1 s before an earlier event"
    with pytest.raises(DataError, match=message):
        open_dat(path)


def test_a_few_events_from_long_ago_in_a_long_recording(raw_dat):
    counters = 2_000_000 + np.arange(300_000) * 10
    counters[70_000:70_003] = 5
    recording = open_dat(path := raw_dat(counters, numbered(300_000)))
    message = f"^Event 70000 of {path} must not be more than 1 s before an earlier event"
    assert len(recording.window(4_000_000, 4_000_100)) == 10
    for read in (recording.events, recording.late_events):
        with pytest.raises(DataError, match=message):
            read()


@pytest.mark.parametrize("seed", range(150))
def test_long_recordings_equal_the_definition_within_the_limits(raw_dat, monkeypatch, seed):
    """With limits of 8 events and 4 parts, a hundred events are a long recording."""
    monkeypatch.setattr(dat_clock, "LATE_RECORDS", 8)
    monkeypatch.setattr(dat_clock, "MAX_PARTS", 4)
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 150))
    silence = int(rng.choice([20_000, 600_000]))
    true = np.cumsum(rng.integers(0, 1000, count) * rng.choice([1, 1, 1, 1, 1, silence], count))
    true += (PERIOD - 1 - true[rng.integers(count)]) % PERIOD
    true -= true[0] // PERIOD * PERIOD
    arrival = _late_by_less_than(8, true, rng)
    recording = open_dat(raw_dat(arrival % PERIOD, numbered(count)))
    expected = np.maximum.accumulate(arrival)
    assert np.array_equal(naive_times(arrival % PERIOD), expected)
    assert_windows_equal(recording, expected, rng, trials=20)


@pytest.mark.parametrize("wrap_at", [65_535, 200_000, 299_999])
def test_a_recording_of_300_000_late_events_over_a_wrap(raw_dat, wrap_at):
    rng = np.random.default_rng(wrap_at)
    true = np.cumsum(rng.integers(0, 20, 300_000))
    true += PERIOD - true[wrap_at]
    arrival = true[np.argsort(np.arange(300_000) + rng.uniform(0, 5000, 300_000))]
    recording = open_dat(raw_dat(arrival % PERIOD, numbered(300_000)))
    assert_windows_equal(recording, np.maximum.accumulate(arrival), rng, trials=30)


def _late_by_less_than(records: int, true: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Delay events, but not the first, by up to 0.5 s and by fewer than ``records`` places."""
    delay_us = 500_000 * rng.random(len(true))
    delay_us[0] = 0
    while True:
        arrival = true[np.argsort(true + delay_us, kind="stable")]
        earliest = np.minimum.accumulate(arrival[::-1])[::-1]
        if not (arrival[:-records] > earliest[records:]).any():
            return arrival
        delay_us /= 2


def test_late_events_are_counted(raw_dat):
    assert open_dat(raw_dat([1, 2, 2, 9])).late_events() == 0
    assert open_dat(raw_dat([5, 4, 9, 5, 8, 9])).late_events() == 3
    assert open_dat(raw_dat([2**32 - 2, 1, 2**32 - 1, 3])).late_events() == 1  # around a wrap
    long = np.arange(200_000, dtype=np.uint32)
    long[[70_000, 65_536, 199_999]] = 60_000
    assert open_dat(raw_dat(long)).late_events() == 3


def jump_message(path, number: int, times: tuple[int, int], kept: int | None) -> str:
    cut = "" if kept is None else f", or keep only what is before both: its first {kept} bytes"
    return re.escape(
        f"The time of event {number} of {path} must not be more than 2³¹ µs (35 min) after that of "
        f"event {number - 1}, but they are {times[1]} µs and {times[0]} µs. One of them is "
        f"damaged. Copy the file again{cut}."
    )


@pytest.mark.parametrize(
    ("counters", "number", "times"),
    [
        ([40_000, 44_999, PERIOD - 1, 45_000, 45_001], 2, (44_999, PERIOD - 1)),
        ([0, PERIOD - 1, 5], 1, (0, PERIOD - 1)),
        ([0, 5, PERIOD - 1], 2, (5, PERIOD - 1)),
        ([7, 10, 2**31 + 11, 11], 2, (10, 2**31 + 11)),
        ([2**31, 3 * 2**30, 0, 3 * 2**30 + 1], 3, (0, 3 * 2**30 + 1)),
        ([PERIOD - 2, 1, 2_000_000, PERIOD - 1, 2_000_001], 3, (2_000_000, PERIOD - 1)),
        ([5, 5, 3_000_000_000, 10, 3_000_000], 2, (5, 3_000_000_000)),
    ],
    ids=["up", "at the start", "at the end", "just too far", "down", "after a wrap", "twice"],
)
def test_a_damaged_time_is_not_a_wrap(raw_dat, counters, number, times):
    path = raw_dat(counters)
    kept = len(HEADER) + 8 * (number - 1) if number > 1 else None
    for opener in (open_dat, open_recording):
        with pytest.raises(DataError, match=f"^{jump_message(path, number, times, kept)}$"):
            opener(path)
    if kept is not None:  # the advice works
        path.write_bytes(path.read_bytes()[:kept])
        assert len(open_dat(path)) == number - 1


@pytest.mark.parametrize("damaged", [0, 1, 100_000, 150_000, 230_000, 234_463, 234_464, 299_999])
def test_a_damaged_time_in_a_long_recording(raw_dat, damaged):
    """Also at the ends of the parts that are read when a file is opened, and between them."""
    counters = 2_000_000 + np.arange(300_000) * 10
    counters[damaged] = PERIOD - 1
    path = raw_dat(counters)
    if damaged == 0:  # as if the recording began 1 µs before a wrap
        assert open_dat(path).last_us == PERIOD + int(counters[-1])
        return
    times = (int(counters[damaged - 1]), PERIOD - 1)
    kept = len(HEADER) + 8 * (damaged - 1) if damaged > 1 else None
    jump = jump_message(path, damaged, times, kept)
    late = f"Event {damaged + 1} of {re.escape(str(path))} must not be more than 1 s before an"
    with pytest.raises(DataError, match=f"^({jump}$|{late})"):
        open_dat(path).events()


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_time_never_moves_what_follows(raw_dat, monkeypatch, seed):
    monkeypatch.setattr(dat_clock, "LATE_RECORDS", 8)
    monkeypatch.setattr(dat_clock, "MAX_PARTS", 4)
    rng = np.random.default_rng(seed)
    true = int(rng.integers(2 * PERIOD)) + np.cumsum(rng.integers(0, 1_000_000, 100))
    true -= true[0] // PERIOD * PERIOD
    counters = true % PERIOD
    damaged = int(rng.integers(1, 99))
    counters[damaged] = rng.integers(PERIOD)
    try:
        times = open_dat(raw_dat(counters)).events()["t_us"]
    except DataError:
        return
    assert (np.abs(times - true) <= 1_000_000).all()
