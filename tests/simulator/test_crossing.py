"""The scenario in which things stop and start again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easnn.events import BOX_DTYPE, MOTION_BOX_DTYPE, open_dat, read_boxes
from easnn.simulator import (
    CameraConfig,
    DatasetConfig,
    EventCamera,
    RecordingConfig,
    Scene,
    simulate_recording,
    write_synthetic_dataset,
)
from easnn.simulator.actors import Actor
from easnn.simulator.cars import draw_car_side
from easnn.simulator.clock import STEADY, Clock
from easnn.simulator.pedestrians import draw_pedestrian
from easnn.simulator.scenario import CROSSING, STREET
from easnn.simulator.scene import FOCAL_LENGTH, NIGHT_LIGHT, NIGHT_NOISE
from easnn.simulator.stops import BRAKES_S, clock_at_crossing
from easnn.utils.errors import ConfigError, OutputError

SMALL = RecordingConfig(
    sensor_hw=(60, 76), duration_s=1.0, frames_per_second=100, scenario="crossing"
)
TINY_DATASET = DatasetConfig(train=2, val=1, test=0, recording=SMALL)
HW = (60, 76)
QUIET = CameraConfig(noise_hz=0.0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class TestClock:
    STOP = Clock((0.0, 1.0, 1.5, 3.0, 3.5), (1.0, 1.0, 0.0, 0.0, 1.0))

    def test_counted_by_hand(self) -> None:
        times = [0.0, 1.0, 1.25, 1.5, 3.0, 3.5, 5.0]
        assert [self.STOP.rate(t) for t in times] == [1.0, 1.0, 0.5, 0.0, 0.0, 1.0, 1.0]
        # Braking from 1 to 0 within 0.5 s passes 0.25 s, of which 0.1875 s in the first half.
        assert [self.STOP.own_time_s(t) for t in times] == [0, 1, 1.1875, 1.25, 1.25, 1.5, 3.0]
        assert [self.STOP.moved_until_s(t) for t in (0.5, 1.4, 1.5, 2.0, 3.0, 3.1)] == [
            0.5,
            1.4,
            1.5,
            1.5,
            1.5,
            3.1,
        ]

    def test_what_has_not_moved_yet(self) -> None:
        pulls_out = Clock((0.0, 2.0, 2.5), (0.0, 0.0, 1.0))
        assert [pulls_out.moved_until_s(t) for t in (0.0, 1.0, 2.0, 2.1)] == [0, 0, 0, 2.1]
        assert Clock((0.0, 1.0), (1.0, 0.0)).time_s(0.7) == np.inf

    @given(st.floats(0, 600))
    def test_a_steady_clock_is_the_time(self, time_s: float) -> None:
        assert STEADY.own_time_s(time_s) == STEADY.time_s(time_s) == time_s
        assert STEADY.moved_until_s(time_s) == time_s

    @given(st.integers(0, 10_000), st.floats(0, 12))
    def test_own_time_is_the_integral_of_the_rate(self, seed: int, time_s: float) -> None:
        clock = clock_at_crossing(0.0, np.inf, 10.0, rng(seed))
        grid = np.linspace(0, time_s, 20_001)
        rates = np.array([clock.rate(t) for t in grid[:: max(1, len(grid) // 2000)]])
        integral = np.trapezoid(rates, dx=time_s / (len(rates) - 1))
        assert clock.own_time_s(time_s) == pytest.approx(integral, abs=0.02)
        own_s = clock.own_time_s(time_s)
        if clock.rate(time_s) > 0.01:
            assert clock.time_s(own_s) == pytest.approx(time_s, abs=1e-6)

    @given(st.integers(0, 10_000), st.floats(0.1, 20))
    def test_stops_come_after_the_entry_and_before_the_exit(self, seed: int, needs_s: float):
        clock = clock_at_crossing(1.5, needs_s, 10.0, rng(seed))
        assert clock.own_time_s(1.5) == 1.5
        leaves_s = clock.time_s(1.5 + needs_s)
        if np.isfinite(leaves_s):
            assert clock.times_s[-1] <= leaves_s + BRAKES_S


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch):
    """A fixed camera before a car and a pedestrian that stop at 0.5 s and go on at 1.5 s."""
    focal_px = FOCAL_LENGTH * HW[0]
    clock = Clock((0.0, 0.4, 0.5, 1.5, 1.6), (1.0, 1.0, 0.0, 0.0, 1.0))
    actors = [
        Actor(draw_car_side(focal_px / 8, rng()), -0.5, 1.0, 8.0, clock=clock),
        Actor(draw_pedestrian(focal_px / 5, 0.5, rng()), -1.0, 0.5, 5.0, clock=clock),
    ]
    monkeypatch.setattr("easnn.simulator.scene.choose_actors", lambda *_: actors)
    return Scene(HW, 2.0, rng(), replace(STREET, restlessness=(0.0,), motion=True))


def record(scene: Scene, camera: CameraConfig) -> np.ndarray:
    watching = EventCamera(camera, scene.render(0), start_us=0, rng=rng())
    times_us = range(10_000, 2_000_001, 10_000)
    return np.concatenate([watching.advance(scene.render(t), t) for t in times_us])


def test_what_stands_is_silent_and_keeps_its_labels(stopping: Scene) -> None:
    events = record(stopping, QUIET)
    times_s = events["t_us"] / 1e6
    assert np.count_nonzero((times_s > 0.51) & (times_s < 1.5)) == 0
    assert np.count_nonzero(times_s < 0.5) > 100 < np.count_nonzero(times_s > 1.5)
    standing = [stopping.labels(t) for t in (500_000, 750_000, 1_000_000, 1_500_000)]
    assert [len(boxes) for boxes in standing] == [2] * 4
    for boxes in standing[1:]:
        assert np.array_equal(boxes[["x", "y", "w", "h"]], standing[0][["x", "y", "w", "h"]])
    assert [boxes["still_s"].tolist() for boxes in standing] == [[t] * 2 for t in (0, 0.25, 0.5, 1)]
    assert all((boxes["speed"] == 0).all() for boxes in standing)
    moving = stopping.labels(1_600_000)
    assert moving["still_s"].tolist() == [0, 0]
    expected = FOCAL_LENGTH * HW[0] * np.array([1.0 / 8.0, 0.5 / 5.0])
    np.testing.assert_allclose(moving["speed"], expected, rtol=1e-6)


def test_noise_is_all_there_is_while_everything_stands(stopping: Scene) -> None:
    events = record(stopping, CameraConfig(noise_hz=5.0))
    standing = (events["t_us"] > 510_000) & (events["t_us"] < 1_500_000)
    expected = HW[0] * HW[1] * 5.0 * 0.99
    assert np.count_nonzero(standing) == pytest.approx(expected, rel=0.05)


def test_columns_agree_with_what_the_boxes_do() -> None:
    speeds, stills = 0, 0
    for seed in range(8):
        scene = Scene((120, 152), 4.0, rng(seed), CROSSING)
        for time_us in range(250_000, 4_000_001, 250_000):
            now, before, after = (scene.labels(time_us + d) for d in (0, -1000, 1000))
            for box in now:
                earlier, later = (b[b["track_id"] == box["track_id"]] for b in (before, after))
                inside = box["x"] > 0 and box["y"] > 0 and box["x"] + box["w"] < 152
                if len(earlier) != 1 or len(later) != 1 or not inside or box["y"] + box["h"] > 120:
                    continue
                moved = np.abs(corners(later[0]) - corners(earlier[0])) / 0.002
                if box["still_s"] > 0.001:
                    assert box["speed"] == 0
                    assert moved.max() == 0
                    stills += 1
                elif box["class_id"] == 0:  # the outline of a pedestrian changes by itself
                    fastest = np.hypot(moved[0].max(), moved[1].max())
                    assert box["speed"] == pytest.approx(fastest, abs=0.6, rel=0.05)
                    speeds += 1
    assert speeds > 50 < stills


def corners(box: np.void) -> np.ndarray:
    return np.array([[box["x"], box["x"] + box["w"]], [box["y"], box["y"] + box["h"]]], np.float64)


def test_still_is_the_time_since_the_box_last_changed() -> None:
    scene = Scene((60, 76), 4.0, rng(3), replace(CROSSING, restlessness=(1.0,)))
    step_us, changed_us, previous = 10_000, {}, {}
    checked = 0
    for time_us in range(0, 4_000_001, step_us):
        for box in scene.labels(time_us):
            track, place = int(box["track_id"]), tuple(corners(box).ravel())
            if previous.get(track, (None, None))[0] == time_us - step_us and (
                previous[track][1] != place
            ):
                changed_us[track] = time_us
            previous[track] = (time_us, place)
            if track in changed_us and box["still_s"] > 0.1:
                since_s = (time_us - changed_us[track]) / 1e6
                assert box["still_s"] == pytest.approx(since_s, abs=0.05)
                checked += 1
    assert checked > 10


def test_a_crossing_has_it_all() -> None:
    recordings = [
        simulate_recording(
            replace(SMALL, duration_s=5.0, frames_per_second=20), seed=0, split="train", number=n
        )[1]
        for n in range(12)
    ]
    boxes = np.concatenate(recordings)
    still_s, speeds = boxes["still_s"], boxes["speed"][boxes["speed"] > 0]
    for low, high in ((0, 0.5), (0.5, 1), (1, 2), (2, 5)):
        assert np.count_nonzero((still_s > low) & (still_s <= high)) > 5
    assert np.quantile(speeds, 0.95) / np.quantile(speeds, 0.05) > 10
    assert boxes["visible"].min() >= 0.25
    assert boxes["visible"].max() <= 1
    assert {0, 1} == set(boxes["class_id"].tolist())
    assert np.array_equal((boxes["speed"] == 0), still_s > 0)


def test_night_has_more_noise_and_less_contrast() -> None:
    day, night = (Scene(HW, 1.0, rng(5), replace(CROSSING, night=share)) for share in (1e-12, 1.0))
    assert (day.noise, night.noise) == (1.0, NIGHT_NOISE)
    np.testing.assert_allclose(night.render(0), NIGHT_LIGHT * day.render(0), rtol=1e-6)
    assert np.array_equal(night.labels(250_000), day.labels(250_000))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("crossing") / "data"
    write_synthetic_dataset(out, TINY_DATASET)
    return out


def test_a_dataset_keeps_the_columns(dataset: Path, tmp_path: Path) -> None:
    events, boxes = simulate_recording(SMALL, seed=0, split="train", number=1)
    assert boxes.dtype == MOTION_BOX_DTYPE
    assert np.array_equal(read_boxes(dataset / "train/train_0001_bbox.npy"), boxes)
    assert np.array_equal(open_dat(dataset / "train/train_0001_td.dat").events(), events)
    stored = np.load(dataset / "train/train_0001_bbox.npy")
    assert stored.dtype.names[-4:] == ("class_confidence", "still_s", "speed", "visible")
    assert json.loads((dataset / "dataset.json").read_text())["settings"]["scenario"] == "crossing"
    write_synthetic_dataset(tmp_path / "again", TINY_DATASET, processes=2)
    assert contents(tmp_path / "again") == contents(dataset)


def test_a_street_does_not_know_of_scenarios(tmp_path: Path) -> None:
    config = DatasetConfig(1, 0, 0, recording=replace(SMALL, scenario="street"))
    write_synthetic_dataset(tmp_path, config)
    settings = json.loads((tmp_path / "dataset.json").read_text())["settings"]
    assert "scenario" not in settings
    boxes_path = tmp_path / "train/train_0000_bbox.npy"
    assert read_boxes(boxes_path).dtype == BOX_DTYPE
    assert np.load(boxes_path).dtype.itemsize == 40


def test_scenarios_are_not_mixed(dataset: Path, tmp_path: Path) -> None:
    street = replace(TINY_DATASET, recording=replace(SMALL, scenario="street"))
    write_synthetic_dataset(tmp_path / "street", street)
    for folder, config, there, here in (
        (dataset, street, "crossing", "street"),
        (tmp_path / "street", TINY_DATASET, "street", "crossing"),
    ):
        with pytest.raises(OutputError) as error:
            write_synthetic_dataset(folder, config)
        assert str(error.value) == (
            f"{folder} holds a synthetic dataset with other settings: `scenario` is {there} there "
            f"and {here} here. Choose another directory, or the same settings to continue it."
        )


def test_an_unknown_scenario_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        RecordingConfig(scenario="crosing")
    assert str(error.value) == (
        "`scenario` must be one of street, crossing, but is crosing. Did you mean `crossing`?"
    )
