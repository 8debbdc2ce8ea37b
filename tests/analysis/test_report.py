from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_parts import SENSOR_HW, FixedDetector, predictor_of, write_recording

from easnn.analysis import Playback, write_recording_pictures, write_run_pictures
from easnn.data import RecordingDataset
from easnn.events import open_dat, read_boxes
from easnn.inference import Predictor
from easnn.representations import FrameSpec

METRICS = '{"kind": "train", "iteration": 1, "epoch": 1, "total_loss": 3.5, "lr": 0.001}\n'


def test_pictures_of_a_run(
    tmp_path: Path, detector: FixedDetector, dataset: RecordingDataset
) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "metrics.jsonl").write_text(METRICS)
    files = write_run_pictures(run_dir, predictor_of(detector), dataset, sheets=2)
    # Frames 1 and 4 of 6, and a clip of the recording with frame 3.
    assert [file.relative_to(run_dir).as_posix() for file in files] == [
        "pictures/curves.png",
        "pictures/sheet_a_600ms.png",
        "pictures/sheet_b_600ms.png",
        "pictures/clip_b.gif",
    ]
    assert sorted((run_dir / "pictures").iterdir()) == sorted(files)
    for file in files[:3]:
        with Image.open(file) as image:
            image.verify()
    with Image.open(files[3]) as clip:
        assert clip.n_frames == 20, "a second, every 50 ms"
        assert clip.info["duration"] == 50
    assert labelled_frames(files[3]) == [5, 11, 17]


def labelled_frames(clip: Path) -> list[int]:
    """Return the numbers of the frames of a GIF with white outlines: labelled boxes."""
    with Image.open(clip) as image:
        found = []
        for n in range(image.n_frames):
            image.seek(n)
            if (np.asarray(image.convert("RGB")) > 250).all(axis=2).sum() > 100:
                found.append(n)
    return found


def make_playback(folder: Path, spec: FrameSpec, labels: np.ndarray | None = None) -> Playback:
    path = write_recording(folder, "a", seconds=0.5, label_times_us=[])
    return Playback("a b/c", open_dat(path), SENSOR_HW, spec, labels)


@pytest.fixture
def predictor(detector: FixedDetector) -> Predictor:
    return predictor_of(detector)


def test_pictures_of_a_recording(
    tmp_path: Path, predictor: Predictor, frame_spec: FrameSpec
) -> None:
    playback = make_playback(tmp_path, frame_spec)
    report = write_recording_pictures(
        tmp_path / "out",
        predictor,
        playback,
        start_us=100_000,
        end_us=400_000,
        step_us=100_000,
        sheets=1,
    )
    assert [file.name for file in report.files] == ["sheet_a_b_c_300ms.png", "clip_a_b_c.gif"]
    assert sorted((tmp_path / "out").iterdir()) == sorted(report.files)
    assert [window["time_us"] for window in report.windows] == [200_000, 300_000, 400_000]
    assert report.windows[0]["detections"] == [
        {"class": "car", "class_id": 0, "score": 0.9, "x": 15.0, "y": 7.5, "w": 10.0, "h": 5.0},
        {
            "class": "pedestrian",
            "class_id": 1,
            "score": 0.4,
            "x": 7.5,
            "y": 10.0,
            "w": 5.0,
            "h": 10.0,
        },
    ]
    assert json.loads(json.dumps(report.windows)) == report.windows
    with Image.open(report.files[1]) as clip:
        assert clip.n_frames == 3
        assert clip.info["duration"] == 100
    assert set(report.ms_per_window) == {"reading", "detecting"}


def test_sheets_show_labelled_moments_if_there_are_any(
    tmp_path: Path, predictor: Predictor, dataset: RecordingDataset
) -> None:
    files = dataset.recordings[0]
    playback = Playback(
        "a",
        open_dat(files.events_path),
        SENSOR_HW,
        dataset.frame_spec,
        read_boxes(files.boxes_path),
    )
    report = write_recording_pictures(
        tmp_path / "out", predictor, playback, start_us=0, end_us=700_000, sheets=9
    )
    names = [file.name for file in report.files]
    assert names == ["sheet_a_300ms.png", "sheet_a_600ms.png", "clip_a.gif"]
    assert labelled_frames(report.files[2]) == [5, 11]
    assert len(report.windows) == 14
