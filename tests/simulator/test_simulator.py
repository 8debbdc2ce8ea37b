from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from easnn.events import open_dat, read_boxes
from easnn.simulator import (
    CLASS_NAMES,
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
from easnn.simulator.event_camera import DARK_CURRENT
from easnn.simulator.pedestrians import draw_pedestrian
from easnn.simulator.scenario import STREET
from easnn.simulator.scene import FOCAL_LENGTH, LARGEST_OVERHANG, LEAST_SIDE
from easnn.utils.errors import ConfigError, OutputError

IDEAL = CameraConfig(threshold=0.2, mismatch=0.0, refractory_us=0, noise_hz=0.0)
SMALL = RecordingConfig(sensor_hw=(60, 76), duration_s=1.0, frames_per_second=100)
TINY_DATASET = DatasetConfig(train=2, val=1, test=1, recording=SMALL)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def intensity_of(log_level: list[list[float]] | np.ndarray) -> np.ndarray:
    """Return the image whose pixels have these log intensities."""
    return np.exp(np.asarray(log_level, float)) - DARK_CURRENT


def watch(
    config: CameraConfig, log_levels: list[list[list[float]]], times_us: list[int]
) -> np.ndarray:
    camera = EventCamera(config, intensity_of(log_levels[0]), start_us=times_us[0], rng=rng())
    steps = zip(log_levels[1:], times_us[1:], strict=True)
    return np.concatenate(
        [camera.advance(intensity_of(level), time_us) for level, time_us in steps]
    )


class TestCamera:
    def test_ramps_cross_the_thresholds_where_computed_by_hand(self) -> None:
        # One second: +1.05 crosses 0.2 five times, every 0.2/1.05 s; −0.65 three times; +0.15
        # never.
        events = watch(IDEAL, [[[0.0, 0.0, 0.0]], [[1.05, -0.65, 0.15]]], [0, 1_000_000])
        rising, falling = events[events["x"] == 0], events[events["x"] == 1]
        assert len(events) == len(rising) + len(falling)
        np.testing.assert_allclose(rising["t_us"], 1e6 * 0.2 / 1.05 * np.arange(1, 6), atol=2)
        np.testing.assert_allclose(falling["t_us"], 1e6 * 0.2 / 0.65 * np.arange(1, 4), atol=2)
        assert rising["p"].tolist() == [1] * 5
        assert falling["p"].tolist() == [0] * 3
        assert np.all(np.diff(events["t_us"]) >= 0)

    def test_a_pixel_remembers_its_reference_over_steps(self) -> None:
        # 0.15 up is none, 0.15 more is one at a third of the step; down, the next is 0.2 below that
        # one.
        levels = [[[0.0]], [[0.15]], [[0.30]], [[0.05]], [[-0.05]]]
        events = watch(IDEAL, levels, [0, 3000, 6000, 9000, 12_000])
        np.testing.assert_allclose(events["t_us"], [4000, 10_500], atol=2)
        assert events["p"].tolist() == [1, 0]

    def test_blind_time_delays_the_next_reference(self) -> None:
        # +10 per second: 20 ms to an event, then blind for 5 ms: events at 20, 45, 70 and 95 ms.
        config = CameraConfig(threshold=0.2, mismatch=0.0, refractory_us=5000, noise_hz=0.0)
        one_step = watch(config, [[[-1.0]], [[0.0]]], [0, 100_000])
        np.testing.assert_allclose(one_step["t_us"], [20_000, 45_000, 70_000, 95_000], atol=2)

    @pytest.mark.parametrize("steps", [2, 3, 7, 50])
    def test_the_number_of_steps_of_a_ramp_does_not_matter(self, steps: int) -> None:
        config = CameraConfig(threshold=0.2, mismatch=0.0, refractory_us=5000, noise_hz=0.0)
        levels = [[[level]] for level in np.linspace(-1.0, 0.0, steps + 1)]
        events = watch(config, levels, np.linspace(0, 100_000, steps + 1).astype(int).tolist())
        np.testing.assert_allclose(events["t_us"], [20_000, 45_000, 70_000, 95_000], atol=3)

    def test_mismatch_makes_pixels_differ(self) -> None:
        ramp = [np.zeros((20, 20)), np.full((20, 20), 4.0)]
        config = CameraConfig(threshold=0.2, mismatch=0.03, refractory_us=0, noise_hz=0.0)
        events = watch(config, ramp, [0, 100_000])
        counts = np.bincount(events["y"].astype(int) * 20 + events["x"], minlength=400)
        assert counts.min() < 19 < 21 < counts.max()
        assert 19 < counts.mean() < 22

    def test_noise_has_its_rate_and_both_polarities(self) -> None:
        config = CameraConfig(noise_hz=4.0, hot_fraction=0.01, hot_hz=40.0)
        still = [np.zeros((50, 40))] * 501
        events = watch(config, still, list(range(0, 5_010_000, 10_000)))
        counts = np.bincount(events["y"].astype(int) * 40 + events["x"], minlength=2000)
        hot = counts > 80
        assert 8 <= hot.sum() <= 35
        expected = (2000 - hot.sum()) * 4.0 * 5
        assert abs(counts[~hot].sum() - expected) < 0.05 * expected
        assert abs(events["p"].mean() - 0.5) < 0.02

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ({"threshold": 0.0}, "`threshold` must be above 0, but is 0.0."),
            ({"noise_hz": -1.0}, "`noise_hz` must be 0 or above, but is -1.0."),
            ({"refractory_us": -1}, "`refractory_us` must be 0 or above, but is -1."),
            ({"hot_fraction": 1.5}, "`hot_fraction` must be from 0 to 1, but is 1.5."),
        ],
    )
    def test_refuses_what_makes_no_camera(self, option: dict[str, float], message: str) -> None:
        with pytest.raises(ConfigError) as error:
            CameraConfig(**option)
        assert str(error.value) == message


class TestScene:
    HW = (120, 152)
    FOCAL_PX = FOCAL_LENGTH * HW[0]

    @pytest.fixture
    def scene_of(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scene]:
        """A still camera before chosen actors."""

        def make(*cast: Actor) -> Scene:
            monkeypatch.setattr("easnn.simulator.scene.choose_actors", lambda *_: list(cast))
            return Scene(self.HW, 4.0, rng(), replace(STREET, restlessness=(0.0,)))

        return make

    def car(self, depth_m: float, x_m: float = 0.0, speed_m_s: float = 0.0) -> Actor:
        return Actor(draw_car_side(self.FOCAL_PX / depth_m, rng()), x_m, speed_m_s, depth_m)

    def pedestrian(self, depth_m: float, x_m: float = 0.0) -> Actor:
        return Actor(draw_pedestrian(self.FOCAL_PX / depth_m, 0.5, rng()), x_m, 0.0, depth_m)

    def test_boxes_move_as_the_object_does(self, scene_of: Callable[..., Scene]) -> None:
        scene = scene_of(self.car(10.0, x_m=-1.0, speed_m_s=0.8))
        before, after = scene.labels(0)[0], scene.labels(1_000_000)[0]
        assert after["x"] - before["x"] == pytest.approx(0.8 * self.FOCAL_PX / 10.0, abs=1e-3)
        assert [after[name] for name in ("y", "w", "h")] == [
            before[name] for name in ("y", "w", "h")
        ]

    def test_a_box_encloses_what_the_object_changes_in_the_picture(
        self, scene_of: Callable[..., Scene]
    ) -> None:
        for actor in (self.car(8.0), self.pedestrian(5.0)):
            scene = scene_of(actor)
            box = scene.labels(0)[0]
            changed = np.abs(scene.render(0) - scene_of().render(0)) > 0.1
            rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
            assert box["x"] == pytest.approx(columns[0], abs=1.5)
            assert box["x"] + box["w"] == pytest.approx(columns[-1] + 1, abs=1.5)
            assert box["y"] == pytest.approx(rows[0], abs=1.5)
            assert box["y"] + box["h"] == pytest.approx(
                rows[-1] + 1, abs=3.5
            )  # a car's shadow lies below

    def test_who_walks_to_the_left_is_the_mirror_image(self) -> None:
        right = self.pedestrian(5.0).sprite
        walks_right, walks_left = (
            Actor(right, 0.0, 0.7, 5.0),
            Actor(right.mirrored(), 0.0, -0.7, 5.0),
        )
        assert not np.array_equal(walks_right.image(0.3), walks_right.image(0.6))
        for time_s in (0.0, 0.3, 0.6):
            assert np.array_equal(walks_left.image(time_s), walks_right.image(time_s)[:, ::-1])

    def test_an_object_comes_closer(self, scene_of: Callable[..., Scene]) -> None:
        car = self.car(8.0)
        scene = scene_of(Actor(car.sprite, 0.0, 0.0, depth_m=8.0, approach_m=8.0, settle_s=1.0))
        far, near = scene.labels(0)[0], scene.labels(20_000_000)[0]
        assert near["w"] / far["w"] == pytest.approx(2.0, rel=1e-4)
        assert near["h"] / far["h"] == pytest.approx(2.0, rel=1e-4)

    def test_a_covered_object_has_no_box(self, scene_of: Callable[..., Scene]) -> None:
        car, pedestrian = self.car(8.0), self.pedestrian(12.0)
        assert scene_of(car, pedestrian).labels(0)["class_id"].tolist() == [0]
        assert scene_of(pedestrian).labels(0)["class_id"].tolist() == [1]
        beside = self.pedestrian(12.0, x_m=6.0)
        assert scene_of(car, beside).labels(0)[["track_id", "class_id"]].tolist() == [
            (0, 0),
            (1, 1),
        ]

    def test_a_box_ends_near_the_frame_and_vanishes_with_its_object(
        self, scene_of: Callable[..., Scene]
    ) -> None:
        scene = scene_of(self.car(8.0, speed_m_s=1.0))
        boxes = [scene.labels(time_us) for time_us in range(0, 12_000_000, 100_000)]
        assert [len(b) for b in boxes] == sorted((len(b) for b in boxes), reverse=True)
        seen = np.concatenate(boxes)
        assert 30 < len(seen) < 90
        rights = seen["x"] + seen["w"]
        assert rights.max() == pytest.approx(self.HW[1] + LARGEST_OVERHANG * self.HW[0])
        assert seen["w"][-1] < 0.6 * seen["w"][0]


class TestRecording:
    def test_is_a_pure_function_of_seed_split_and_number(self) -> None:
        events, boxes = simulate_recording(SMALL, seed=3, split="train", number=1)
        same_events, same_boxes = simulate_recording(SMALL, seed=3, split="train", number=1)
        assert np.array_equal(events, same_events)
        assert np.array_equal(boxes, same_boxes)
        for other in ({"seed": 4}, {"split": "val"}, {"number": 2}):
            arguments = {"seed": 3, "split": "train", "number": 1} | other
            assert not np.array_equal(simulate_recording(SMALL, **arguments)[0], events)

    def test_the_camera_does_not_change_the_scene(self) -> None:
        config = RecordingConfig((60, 76), 1.0, 100, CameraConfig(threshold=0.4, noise_hz=1.0))
        plain, other = (
            simulate_recording(c, seed=0, split="val", number=0) for c in (SMALL, config)
        )
        assert np.array_equal(plain[1], other[1])
        assert len(plain[0]) != len(other[0])

    def test_no_pixel_fires_while_it_is_blind(self) -> None:
        camera = CameraConfig(threshold=0.05, refractory_us=3000, noise_hz=5.0)
        config = RecordingConfig((60, 76), 1.0, 200, camera)
        events, _ = simulate_recording(config, seed=0, split="train", number=0)
        pixel = events["y"].astype(int) * 76 + events["x"]
        order = np.lexsort((events["t_us"], pixel))
        gaps_us = np.diff(events["t_us"][order])[np.diff(pixel[order]) == 0]
        assert len(gaps_us) > 1000
        assert gaps_us.min() >= 3000

    def test_events_and_boxes_keep_their_promises(self) -> None:
        for number in range(4):
            events, boxes = simulate_recording(SMALL, seed=0, split="train", number=number)
            assert np.all(np.diff(events["t_us"]) >= 0)
            assert 0 <= events["t_us"][0] <= events["t_us"][-1] <= 1_000_000
            assert set(boxes["t_us"].tolist()) <= {250_000, 500_000, 750_000, 1_000_000}
            assert np.all(np.diff(boxes["t_us"]) >= 0)
            assert set(boxes["class_id"].tolist()) <= set(range(len(CLASS_NAMES)))
            assert np.all(boxes["confidence"] == 1)
            assert np.minimum(boxes["w"], boxes["h"]).min() >= LEAST_SIDE * 60
            tracks = boxes[["t_us", "track_id"]]
            assert len(np.unique(tracks)) == len(tracks)

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            (
                {"sensor_hw": (16, 304)},
                "`sensor_hw` must be 32 to 16384 pixels each way, but is (16, 304).",
            ),
            (
                {"duration_s": 0.1},
                "`duration_s` must be from 0.25 (the first label) to 600, but is 0.1.",
            ),
            ({"frames_per_second": 0}, "`frames_per_second` must be from 1 to 10000, but is 0."),
        ],
    )
    def test_refuses_what_makes_no_recording(self, option: dict[str, float], message: str) -> None:
        with pytest.raises(ConfigError) as error:
            RecordingConfig(**option)
        assert str(error.value) == message


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "data"
    write_synthetic_dataset(out, TINY_DATASET)
    return out


class TestDataset:
    def test_has_the_layout_that_the_readers_read(self, dataset: Path) -> None:
        assert sorted(contents(dataset)) == [
            "dataset.json",
            "test/test_0000_bbox.npy",
            "test/test_0000_td.dat",
            "train/train_0000_bbox.npy",
            "train/train_0000_td.dat",
            "train/train_0001_bbox.npy",
            "train/train_0001_td.dat",
            "val/val_0000_bbox.npy",
            "val/val_0000_td.dat",
        ]
        events, boxes = simulate_recording(SMALL, seed=0, split="train", number=1)
        recording = open_dat(dataset / "train/train_0001_td.dat")
        assert recording.sensor_hw == (60, 76)
        assert np.array_equal(recording.events(), events)
        assert np.array_equal(read_boxes(dataset / "train/train_0001_bbox.npy"), boxes)
        description = json.loads((dataset / "dataset.json").read_text())
        assert description["class_names"] == ["car", "pedestrian"]
        assert description["complete"] is True

    def test_does_not_depend_on_the_number_of_processes(
        self, dataset: Path, tmp_path: Path
    ) -> None:
        write_synthetic_dataset(tmp_path / "data", TINY_DATASET, processes=2)
        assert contents(tmp_path / "data") == contents(dataset)

    def test_summary_counts_what_is_there(self, dataset: Path) -> None:
        train, val, test = write_synthetic_dataset(dataset, TINY_DATASET)
        recordings = [open_dat(path) for path in (dataset / "train").glob("*_td.dat")]
        boxes = np.concatenate(
            [read_boxes(path) for path in (dataset / "train").glob("*_bbox.npy")]
        )
        assert (train.split, val.split, test.split) == ("train", "val", "test")
        assert (train.recordings, train.duration_s) == (2, 2.0)
        assert train.events == sum(len(recording) for recording in recordings)
        assert train.boxes == {
            name: np.count_nonzero(boxes["class_id"] == class_id)
            for class_id, name in enumerate(CLASS_NAMES)
        }

    def test_an_interrupted_run_is_marked_and_goes_on(
        self, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "data"

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("easnn.simulator.synthetic_dataset.write_boxes", interrupt)
            write_synthetic_dataset(out, TINY_DATASET)
        assert json.loads((out / "dataset.json").read_text())["complete"] is False
        assert sorted(contents(out)) == ["dataset.json", "train/train_0000_td.dat"]
        left = out / "train" / ".train_0000_bbox.npy.abcd1234"  # by a process that was killed
        left.touch()
        os.utime(left, (0, 0))
        write_synthetic_dataset(out, TINY_DATASET)
        assert contents(out) == contents(dataset)

    def test_what_is_there_is_not_made_again(self, dataset: Path) -> None:
        before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*_*")}
        (dataset / "val/val_0000_bbox.npy").unlink()
        write_synthetic_dataset(dataset, TINY_DATASET)
        after = {path: path.stat().st_mtime_ns for path in before}
        remade = {path.name for path in before if before[path] != after[path]}
        assert remade == {"val_0000_bbox.npy", "val_0000_td.dat"}

    def test_refuses_other_settings(self, dataset: Path) -> None:
        with pytest.raises(OutputError) as error:
            write_synthetic_dataset(
                dataset, DatasetConfig(train=2, val=1, test=1, seed=7, recording=SMALL)
            )
        assert str(error.value) == (
            f"{dataset} holds a synthetic dataset with other settings: `seed` is 0 there and 7 "
            "here. Choose another directory, or the same settings to continue it."
        )

    @pytest.mark.parametrize("description", [None, "{", "[]", '{"settings": 3}'])
    def test_refuses_a_folder_with_something_else(
        self, tmp_path: Path, description: str | None
    ) -> None:
        (tmp_path / "thesis.tex").write_text("precious")
        if description is not None:
            (tmp_path / "dataset.json").write_text(description)
        before = contents(tmp_path)
        with pytest.raises(OutputError) as error:
            write_synthetic_dataset(tmp_path, TINY_DATASET)
        assert str(error.value) == (
            f"{tmp_path} is not an empty directory and does not hold a synthetic dataset "
            "(dataset.json is missing or unreadable). Choose another directory."
        )
        assert contents(tmp_path) == before

    @pytest.mark.parametrize(
        ("counts", "message"),
        [
            ((-1, 1, 1), "`train` must not be negative, but is -1."),
            ((0, 0, 0), "`train`, `val` and `test` are all 0: there is nothing to make."),
        ],
    )
    def test_refuses_to_make_nothing(self, counts: tuple[int, int, int], message: str) -> None:
        with pytest.raises(ConfigError) as error:
            DatasetConfig(*counts)
        assert str(error.value) == message
