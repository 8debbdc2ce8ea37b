"""The predictor that users load: its boxes are those of an evaluation, to the last digit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from untrained import untrained

from easnn import Predictor
from easnn.checkpoints import Checkpoint
from easnn.events import BOX_DTYPE, open_dat, pack_events, write_boxes, write_dat, write_npz
from easnn.inference import Detections
from easnn.utils.errors import CheckpointError, ConfigError, DataError

SENSOR_HW = (24, 48)
LABELS_US = [100_000, 250_000, 400_000, 550_000]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of one recording of noise with four labels."""
    root = tmp_path_factory.mktemp("data")
    (root / "val").mkdir()
    rng = np.random.default_rng(0)
    t_us = np.sort(rng.integers(0, 600_000, 6000))
    events = pack_events(t_us, *(rng.integers(0, n, 6000) for n in (SENSOR_HW[1], SENSOR_HW[0], 2)))
    write_dat(root / "val" / "noise_td.dat", events, sensor_hw=SENSOR_HW)
    boxes = np.zeros(len(LABELS_US), BOX_DTYPE)
    boxes["t_us"], boxes["w"], boxes["h"] = LABELS_US, 10, 8
    write_boxes(root / "val" / "noise_bbox.npy", boxes)
    return root


def evaluated(checkpoint: Path, root: Path) -> dict[int, np.ndarray]:
    """Return the detections of an evaluation by time."""
    experiment = Checkpoint(checkpoint).experiment()
    experiment.merge(["data_dir", str(root), "data_num_workers", "0", "test_conf", "0"])
    device = torch.device("cpu")
    loader = experiment.get_eval_loader(batch_size=3, device=device)
    predictor = Predictor.of(experiment, Checkpoint(checkpoint).build_model(experiment, device))
    return {frame.time_us: rows.numpy() for frame, rows in predictor.detect_batches(loader)}


@pytest.mark.parametrize(
    "words", ["", "downsample 2", "aggregation voxel_grid slicing window", "Ts 2 T 2"]
)
def test_boxes_are_those_of_the_evaluation(tmp_path: Path, root: Path, words: str) -> None:
    checkpoint = untrained(tmp_path, words)
    expected = evaluated(checkpoint, root)
    assert sorted(expected) == LABELS_US
    predictor = Predictor.load(checkpoint, confidence=0)
    for time_us, rows in expected.items():
        found = predictor.detect(root / "val" / "noise_td.dat", time_us)
        in_sensor_pixels = rows.copy()
        in_sensor_pixels[:, 2:] *= predictor.downsample
        assert len(rows)
        np.testing.assert_array_equal(found.rows, in_sensor_pixels)
        assert found.time_us == time_us


def test_watching_gives_what_detecting_gives(tmp_path: Path, root: Path) -> None:
    predictor = Predictor.load(untrained(tmp_path), confidence=0)
    recording = open_dat(root / "val" / "noise_td.dat")
    seen = list(predictor.watch(recording, every_ms=50))
    first_us = recording.first_us
    assert [found.time_us for found in seen] == [first_us + 50_000 * n for n in range(1, 13)]
    for found in (seen[0], seen[9]):
        np.testing.assert_array_equal(found.rows, predictor.detect(recording, found.time_us).rows)
    part = predictor.watch(recording, every_ms=100, start_us=200_000, end_us=400_000)
    assert [found.time_us for found in part] == [300_000, 400_000]
    with pytest.raises(ValueError, match=r"`every_ms` must be at least 0\.001, but is 0"):
        predictor.watch(recording, every_ms=0)


def test_a_frame_of_the_whole_recording_is_seen_once(tmp_path: Path, root: Path) -> None:
    predictor = Predictor.load(untrained(tmp_path, "window 0"), confidence=0)
    path = root / "val" / "noise_td.dat"
    [found] = predictor.watch(path)
    assert found.time_us == open_dat(path).last_us + 1
    np.testing.assert_array_equal(found.rows, predictor.detect(path, 0).rows)


def test_a_sensor_that_the_file_does_not_give(tmp_path: Path) -> None:
    predictor = Predictor.load(untrained(tmp_path), confidence=0)
    events = pack_events([1000, 2000], [0, 30], [10, 20], [0, 1])
    path = write_npz_recording(tmp_path, events)
    assert predictor.open(path).sensor_hw == (21, 31)
    assert predictor.open(path, sensor_hw=(30, 40)).sensor_hw == (30, 40)
    assert len(predictor.detect(path, 3000))


def write_npz_recording(folder: Path, events: np.ndarray) -> Path:
    write_npz(folder / "recording.npz", events)
    return folder / "recording.npz"


def test_histograms_cannot_be_made_from_a_recording(tmp_path: Path, root: Path) -> None:
    predictor = Predictor.load(untrained(tmp_path, "aggregation event_sum Tl 4"))
    with pytest.raises(ConfigError, match=r"^`aggregation` must be one of .* for raw recordings"):
        predictor.detect(root / "val" / "noise_td.dat", 100_000)


def test_a_recording_opened_elsewhere_needs_its_sensor(tmp_path: Path) -> None:
    from easnn.events import open_recording

    predictor = Predictor.load(untrained(tmp_path))
    path = write_npz_recording(tmp_path, pack_events([1000], [3], [4], [0]))
    with pytest.raises(DataError) as error:
        predictor.detect(open_recording(path), 2000)
    assert str(error.value) == (
        f"{path} does not contain the sensor size. Open it with `Predictor.open`, or with "
        "`open_recording(path, sensor_hw=(height, width))`."
    )


def test_detections_have_names_and_boxes() -> None:
    rows = np.array([[1, 0.75, 1.5, 2, 3, 4], [7, 0.5, 0, 0, 1, 1]], np.float32)
    found = Detections(5, rows, ("car", "pedestrian"))
    assert len(found) == 2
    assert found.names == ["pedestrian", "class 7"]
    assert found.class_ids.tolist() == [1, 7]
    assert found.scores.tolist() == [0.75, 0.5]
    assert found.boxes_xywh.tolist() == [[1.5, 2, 3, 4], [0, 0, 1, 1]]
    assert next(iter(found)) == {
        "class": "pedestrian",
        "class_id": 1,
        "score": 0.75,
        "x": 1.5,
        "y": 2.0,
        "w": 3.0,
        "h": 4.0,
    }


def test_class_names_are_those_of_the_dataset(tmp_path: Path) -> None:
    assert Predictor.load(untrained(tmp_path)).class_names == ("car", "pedestrian")


def test_threads_are_as_before(tmp_path: Path, root: Path) -> None:
    threads = torch.get_num_threads()
    predictor = Predictor.load(untrained(tmp_path))
    for _ in predictor.watch(root / "val" / "noise_td.dat"):
        assert torch.get_num_threads() == threads


def test_the_package_loads_without_torch() -> None:
    code = "import sys, easnn; easnn.__version__; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_recorded_class_names_need_no_dataset(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    declared = data / "dataset.json"
    declared.write_text('{"class_names": ["cup", "pen"]}')
    checkpoint = untrained(tmp_path, f"data_dir {data}")
    declared.write_text("damaged")
    assert Predictor.load(checkpoint).class_names == ("cup", "pen")


def test_a_window_outside_the_recording_is_an_error(tmp_path: Path, root: Path) -> None:
    path = root / "val" / "noise_td.dat"
    recording = open_dat(path)
    predictor = Predictor.load(untrained(tmp_path))
    last_us = recording.last_us + predictor.spec.duration_us
    assert predictor.detect(path, last_us).time_us == last_us
    for time_us in (recording.first_us, last_us + 1, -5):
        with pytest.raises(DataError) as error:
            predictor.detect(path, time_us)
        assert str(error.value) == (
            f"`time_us` must be above {recording.first_us} and at most {last_us} for the windows "
            f"of {-predictor.spec.window} ms of {path}, whose events are from "
            f"{recording.first_us} to {recording.last_us} µs, but is {time_us}."
        )
    with pytest.raises(TypeError, match=r"^`time_us` must be an integer in µs, but is 1\.5\.$"):
        predictor.detect(path, 1.5)  # type: ignore[arg-type]


def test_a_share_outside_of_its_range_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^`confidence` must be between 0 and 1, but is 30\."):
        Predictor.load(untrained(tmp_path), confidence=30)


def test_an_experiment_with_code_needs_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from easnn.exp import EventExp\n\nclass Exp(EventExp):\n"
        "    def protocols(self): return ['coco']\n"
    )
    checkpoint = untrained(tmp_path)
    contents = torch.load(checkpoint, weights_only=True)
    contents["experiment"] |= {"name": None, "file": str(path), "defines": ["protocols"]}
    torch.save(contents, checkpoint)
    with pytest.raises(CheckpointError, match="which defines protocols"):
        Predictor.load(checkpoint)
    assert Predictor.load(checkpoint, exp_file=path).input_hw == (640, 640)  # the file's
