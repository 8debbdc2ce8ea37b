"""Detection in streams: the boxes are those of an offline evaluation, and nothing grows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from untrained import untrained

from easnn.events import (
    IterableSource,
    RecordingSource,
    open_dat,
    pack_events,
    write_dat,
)
from easnn.inference import Detections, Predictor, Watcher
from easnn.inference.live import _DueWindows
from easnn.representations import FrameSpec
from easnn.utils.errors import ConfigError, DataError

HW = (24, 48)
KEYS = "window -100 Tm 2"


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(untrained(tmp_path_factory.mktemp("run"), KEYS), confidence=0)


def noise(count: int = 3000, until_us: int = 600_000) -> np.ndarray:
    rng = np.random.default_rng(0)
    t_us = np.sort(rng.integers(1000, until_us, count))
    t_us = t_us[(t_us < 200_000) | (t_us > 330_000)]  # a silence
    return pack_events(t_us, *(rng.integers(0, n, len(t_us)) for n in (HW[1], HW[0], 2)))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    write_dat(tmp_path / "noise_td.dat", noise(), sensor_hw=HW)
    return tmp_path / "noise_td.dat"


def assert_same(found: list[Detections], expected: list[Detections]) -> None:
    assert [one.time_us for one in found] == [one.time_us for one in expected]
    assert expected
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)


@pytest.mark.parametrize("every_ms", [None, 70.0])
@pytest.mark.parametrize("drops", [False, True])
def test_boxes_are_those_of_a_recording(
    predictor: Predictor, recording: Path, every_ms: float | None, drops: bool
) -> None:
    expected = list(predictor.watch(recording, every_ms=every_ms or 100))
    source = RecordingSource(open_dat(recording))
    watcher = Watcher(predictor, source, every_ms=every_ms, max_waiting=1000, drops=drops)
    windows = list(watcher)
    assert_same([window.detections for window in windows], expected)
    assert [window.number for window in windows] == list(range(len(expected)))
    report = watcher.report
    assert (report.windows, report.dropped) == (len(expected), 0)
    assert report.counts.events == len(open_dat(recording))
    assert report.detections == sum(map(len, expected))
    assert {"latency in ms", "windows dropped"} <= {
        line.split("  ")[0] for line in report.table().splitlines()
    }
    assert list(report.to_dict()["latency_ms"]) == ["p50", "p95", "p99"]


@pytest.mark.parametrize("keys", ["downsample 2", "memory lstm memory_dim 4"])
def test_boxes_with_a_memory_or_less_resolution(tmp_path: Path, recording: Path, keys: str) -> None:
    predictor = Predictor.load(untrained(tmp_path, f"{KEYS} {keys}"), confidence=0)
    expected = list(predictor.watch(recording, every_ms=50))
    watcher = Watcher(predictor, RecordingSource(open_dat(recording)), every_ms=50)
    assert_same([window.detections for window in watcher], expected)


def test_a_stream_faster_than_the_detector_drops_whole_windows(predictor: Predictor) -> None:
    events = noise()
    source = IterableSource(np.array_split(events, 20), HW)
    all_read = threading.Event()

    def put(packet: np.ndarray, arrived: float) -> None:
        original(packet, arrived)
        if source.counts.events == len(events):
            all_read.set()

    watcher = Watcher(predictor, source, every_ms=20, max_waiting=2)
    original, watcher._due.put = watcher._due.put, put  # type: ignore[method-assign]
    original_take = watcher._due.take

    def take(most: int):  # the first window is taken when all events have arrived
        assert all_read.wait(60)
        return original_take(most)

    watcher._due.take = take  # type: ignore[method-assign]
    windows = list(watcher)
    last_us = int(events["t_us"][-1])
    ends = range(int(events["t_us"][0]) + 20_000, last_us + 20_001, 20_000)
    assert windows[-1].detections.time_us == ends[-1]
    assert watcher.report.windows + watcher.report.dropped == len(ends)
    assert watcher.report.windows <= 3
    assert windows[0].dropped == windows[0].number
    assert windows[0].detections.time_us == ends[windows[0].number]


def test_no_more_events_are_kept_than_windows_need() -> None:
    due = _DueWindows(FrameSpec(window=-100), 50_000, 2)
    for begin in range(0, 10_000_000, 10_000):
        t_us = np.arange(begin, begin + 10_000, 100)
        due.put(pack_events(t_us, *[np.zeros(100, int)] * 3), 0.0)
        held_us = t_us[-1] - due._pieces[0][0]["t_us"][0]
        # Two windows wait, each needs its 100 ms and two windows before; packets are whole.
        assert held_us < 2 * 50_000 + 50_000 + 300_000 + 2 * 10_000
        assert due.waiting() <= 2
    batch = due.take(8)
    assert batch is not None
    assert (batch.first, batch.dropped) == (197, 197)


def test_what_arrived_before_an_error_is_used(predictor: Predictor) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield noise()
        raise DataError("The camera was unplugged.")

    for drops in (False, True):
        source = IterableSource(broken(), HW)
        watcher = Watcher(predictor, source, drops=drops, max_waiting=100)
        found = []
        with pytest.raises(DataError, match=r"^The camera was unplugged\.$"):
            found.extend(watcher)
        assert len(found) == 6


def test_a_stream_without_events(predictor: Predictor) -> None:
    watcher = Watcher(predictor, IterableSource([noise()[:0]], HW))
    assert list(watcher) == []
    assert watcher.report.to_dict()["latency_ms"] is None
    assert "latency in ms" in watcher.report.table()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every_ms": 0}, "`every_ms` must be at least 0.001, but is 0."),
        ({"every_ms": float("nan")}, "`every_ms` must be at least 0.001, but is nan."),
        ({"max_waiting": 0}, "`max_waiting` must be at least 1, but is 0."),
    ],
)
def test_wrong_arguments(predictor: Predictor, arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Watcher(predictor, IterableSource([], HW), **arguments)
    assert str(error.value) == message


def test_a_window_must_have_a_length(tmp_path: Path) -> None:
    predictor = Predictor.load(untrained(tmp_path, "window 0"), device=torch.device("cpu"))
    with pytest.raises(ConfigError, match=r"^`window` must not be 0 for a stream, which has no"):
        Watcher(predictor, IterableSource([], HW))
