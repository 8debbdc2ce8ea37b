"""Detections and ground truth in files of COCO and Prophesee."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from easnn.cli.score import main
from easnn.evaluation import (
    FrameResult,
    build_evaluator,
    read_detections,
    read_ground_truth,
    refuse_unwritable,
    write_detections,
)
from easnn.events import BOX_DTYPE, write_boxes
from easnn.utils.errors import DataError, OutputError

CLASSES = ("car", "pedestrian")
HW = (240, 304)


def some_frames(seed: int = 0) -> list[FrameResult]:
    rng = np.random.default_rng(seed)
    frames = []
    for number in range(12):
        boxes = np.column_stack([rng.integers(0, 2, 3), rng.uniform(20, 90, (3, 4))])
        near = boxes[:, 1:] + rng.normal(0, 6, (3, 4))
        found = np.column_stack([boxes[:, 0], rng.random(3), near]).astype(np.float32)
        time_us = 400_000 + 100_000 * (number % 6)
        sequence = f"drive_{number // 6}"
        frames.append(FrameResult(number, time_us, sequence, boxes.astype(np.float32), found))
    return frames


def written(folder: Path, name: str, frames: list[FrameResult]) -> Path:
    path = folder / name
    refuse_unwritable(path)
    assert write_detections(path, frames, CLASSES, HW, {"split": "val"}) == 0
    return path


def truth_folder(folder: Path, frames: list[FrameResult]) -> Path:
    """Write the ground truth as a dataset has it."""
    folder.mkdir()
    for sequence in dict.fromkeys(frame.sequence for frame in frames):
        rows = [
            (f.time_us, row) for f in frames if f.sequence == sequence for row in f.ground_truth
        ]
        boxes = np.zeros(len(rows), BOX_DTYPE)
        for place, (time_us, row) in enumerate(rows):
            boxes[place] = (time_us, *row[1:], row[0], 0, 1.0)
        write_boxes(folder / f"{sequence}_bbox.npy", boxes)
    return folder


def score(*words: str | Path) -> int:
    return main([str(word) for word in words])


def results_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["results"]
    return found


@pytest.mark.parametrize("protocol", ["coco", "prophesee"])
def test_what_is_written_has_the_same_scores(tmp_path: Path, protocol: str) -> None:
    frames = some_frames()
    evaluator = build_evaluator(protocol, CLASSES, split="x", sensor_hw=HW)
    evaluator.process(frames)
    expected = evaluator.evaluate()
    coco, folder = written(tmp_path, "found.json", frames), written(tmp_path, "found", frames)
    truths = tmp_path / "found_ground_truth.json", truth_folder(tmp_path / "truth", frames)
    for truth, detections in zip(truths, (coco, folder), strict=True):
        words = ["--protocol", protocol, "--json", tmp_path / "out.json"]
        size = ["--sensor-size", "240x304"] if truth.is_dir() else []
        assert score(truth, detections, *words, *size) == 0
        (found,) = results_of(tmp_path / "out.json")
        assert found["ap"] == expected.ap > 0.1
        assert found["ar100"] == expected.ar100
        assert found["about"] == {"split": "val"}


def test_pycocotools_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    path = written(tmp_path, "found.json", some_frames())
    truth = coco.COCO(str(tmp_path / "found_ground_truth.json"))
    reference = cocoeval.COCOeval(truth, truth.loadRes(str(path)), "bbox")
    reference.evaluate()
    reference.accumulate()
    reference.summarize()
    assert score(truth_path := tmp_path / "found_ground_truth.json", path,
                 "--json", tmp_path / "out.json") == 0  # fmt: skip
    (found,) = results_of(tmp_path / "out.json")
    assert truth_path.is_file()
    names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")
    for name, value in zip(names, reference.stats, strict=False):
        assert found[name] == pytest.approx(value, abs=1e-9) or (found[name] is None and value < 0)


@pytest.mark.parametrize("case", [0, 1], ids=["gen1", "gen4_ds2"])
def test_golden_figures_of_the_prophesee_protocol(golden: Path, tmp_path: Path, case: int) -> None:
    expected = json.loads((golden / "data" / "prophesee_eval.json").read_text())[case]
    arrays, tag = np.load(golden / "data" / "prophesee_eval.npz"), expected["tag"]
    for kind in ("gt", "dt"):
        (tmp_path / kind).mkdir()
        boxes = arrays[f"{tag}|{kind}"]
        frames = np.repeat(np.arange(60), arrays[f"{tag}|{kind}_n"])
        for number in range(60):
            np.save(tmp_path / kind / f"frame_{number}_bbox.npy", boxes[frames == number])
    for number in range(60):  # what no ground truth knows of is no recording
        if not len(np.load(tmp_path / "gt" / f"frame_{number}_bbox.npy")):
            (tmp_path / "dt" / f"frame_{number}_bbox.npy").unlink()
    size = f"{expected['height']}x{expected['width']}"
    out = tmp_path / "out.json"
    words = ("--protocol", "prophesee", "--sensor-size", size, "--json", out)
    assert score(tmp_path / "gt", tmp_path / "dt", *words) == 0
    (found,) = results_of(out)
    for ours, theirs in (("ap", "AP"), ("ap50", "AP_50"), ("ap75", "AP_75"), ("ap_large", "AP_L")):
        assert found[ours] == pytest.approx(expected["result"][theirs], abs=1e-6), ours


def test_the_best_detections_come_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = some_frames()
    exact = [
        dataclasses.replace(frame, detections=[(r[0], 0.9, *r[1:]) for r in frame.ground_truth])
        for frame in frames
    ]
    worse, best = written(tmp_path, "worse.json", frames), tmp_path / "best.json"
    about = {"split": "train", "train_splits": ["train"], "parameters": 8_900_000, "energy_pj": 5e9}
    write_detections(best, exact, CLASSES, HW, {**about, "ms_per_frame": 12.5})
    assert score(tmp_path / "worse_ground_truth.json", worse, best, "--protocol", "both") == 0
    out = capsys.readouterr().out
    first, second = out.split("\n\n")[:2]
    lines = [line.split() for line in first.splitlines()]
    assert lines[0][:3] == ["coco:", "detections", "AP"]
    assert lines[2] == [str(best), *["1.0000"] * 4, "8.90", "5.00", "12.50"]
    assert lines[3][0] == str(worse)
    assert lines[3][-3:] == ["–"] * 3
    assert second.startswith("prophesee: detections")
    assert (
        f"{best}: these are detections in the split `train`, on which the detector was trained."
        in out
    )


def test_the_nearest_time_within_the_tolerance(tmp_path: Path) -> None:
    frames = [FrameResult(0, 1_000_000, "a", [(0, 10, 10, 20, 20)], [])]
    truth = read_ground_truth(truth_folder(tmp_path / "truth", frames))
    boxes = np.zeros(4, BOX_DTYPE)
    boxes["t_us"] = 960_000, 990_000, 1_010_000, 1_200_000
    boxes["confidence"] = 0.1, 0.2, 0.3, 0.4
    boxes["w"] = boxes["h"] = 5
    (tmp_path / "found").mkdir()
    write_boxes(tmp_path / "found" / "a_bbox.npy", boxes)
    for tolerance_us, scores in ((50_000, [0.2]), (10_000, [0.2]), (9_999, [])):
        (frame,) = read_detections(tmp_path / "found", truth, tolerance_us=tolerance_us)
        assert np.asarray(frame.detections)[:, 1].tolist() == pytest.approx(scores)


def test_detections_that_are_not_finite_are_counted_and_left_out(tmp_path: Path) -> None:
    rows = [(0, 0.5, 1, 1, 5, 5), (0, np.nan, 1, 1, 5, 5), (0, 0.5, 1, 1, -5, 5)]
    frames = [FrameResult(0, 1_000_000, "a", [(0, 1, 1, 5, 5)], rows)]
    for name in ("found.json", "found"):
        assert write_detections(tmp_path / name, frames, CLASSES, HW, {}) == 2
    assert len(json.loads((tmp_path / "found.json").read_text())) == 1


def error_of(*words: str | Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert score(*words) == 1
    return capsys.readouterr().err.removeprefix("error: ").strip()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    frames = some_frames()
    return {
        "json": written(tmp_path, "found.json", frames),
        "truth": tmp_path / "found_ground_truth.json",
        "folder": written(tmp_path, "found", frames),
        "raw": truth_folder(tmp_path / "raw", frames),
    }


def test_files_that_do_not_fit(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing"
    assert error_of(missing, files["json"], capsys=capsys) == (
        f"{missing} must be a file .json of COCO, or a folder of NAME_bbox.npy, but is missing."
    )
    assert error_of(files["json"], files["json"], capsys=capsys) == (
        f"{files['json']} must hold the ground truth of COCO, an object with images, annotations "
        "and categories, but does not. Results of COCO are detections, not ground truth."
    )
    assert error_of(files["raw"], files["json"], capsys=capsys) == (
        f"{files['json']} has the results of COCO, which need the ground truth of COCO with the "
        f"same ids of images, but {files['raw']} is a folder."
    )
    assert error_of(files["raw"], files["folder"], "--protocol", "prophesee", capsys=capsys) == (
        "The smallest box of the Prophesee protocol depends on the sensor: give its height and "
        "width by `--sensor-size`, like 240x304."
    )
    assert error_of(files["raw"], files["folder"], "--classes", "car", capsys=capsys) == (
        f"`--classes` must name all 2 classes of {files['raw']}, but names 1."
    )
    (files["folder"] / "drive_0_bbox.npy").rename(files["folder"] / "drve_0_bbox.npy")
    assert error_of(files["raw"], files["folder"], capsys=capsys) == (
        f"{files['folder'] / 'drve_0_bbox.npy'} belongs to no recording of {files['raw']}. "
        "Did you mean `drive_0`?"
    )


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"image_id": 99, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 1}, "image 99, which"),
        ({"image_id": 0, "category_id": 7, "bbox": [1, 1, 2, 2], "score": 1}, "category 7, which"),
        ({"image_id": 0, "category_id": 1, "bbox": [1, 1, 2], "score": 1}, "must be four numbers"),
        ({"image_id": 0, "category_id": 1, "bbox": "1112", "score": 1}, "must be four numbers"),
        ({"image_id": 0, "category_id": 1, "score": 1}, "but has no bbox."),
        ([1, 2], "but has no image_id."),
    ],
)
def test_damaged_detections(
    files: dict[str, Path], entry: object, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files["json"].write_text(json.dumps([entry]))
    assert expected in error_of(files["truth"], files["json"], capsys=capsys)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"images": [{"id": "a"}]}, "a whole number of its own as id, but 'a' is none."),
        ({"images": [{"id": 1}, {"id": 1}]}, "but 1 occurs twice."),
        ({"categories": []}, "a box of category"),
        (
            {"images": [{"id": 1, "sequence": "a", "time_us": 10**20}]},
            "must be a whole number of at least 0, but is 100000000000000000000.",
        ),
        ({"images": 3}, "must hold a list of images, but holds int."),
    ],
)
def test_damaged_ground_truth(
    files: dict[str, Path],
    change: dict[str, Any],
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = json.loads(files["truth"].read_text()) | change
    if isinstance(change.get("images"), list):
        content["annotations"] = []
    files["truth"].write_text(json.dumps(content))
    assert expected in error_of(files["truth"], files["json"], capsys=capsys)


def test_crowds_are_refused(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(files["truth"].read_text())
    content["annotations"][4]["iscrowd"] = 1
    files["truth"].write_text(json.dumps(content))
    assert "has `iscrowd` or `ignore`. Remove such annotations." in error_of(
        files["truth"], files["json"], capsys=capsys
    )


def test_images_without_a_time_have_no_prophesee_protocol(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(files["truth"].read_text())
    for image in content["images"]:
        del image["time_us"]
    files["truth"].write_text(json.dumps(content))
    assert score(files["truth"], files["json"]) == 0
    capsys.readouterr()
    assert "have no `sequence` and `time_us`." in error_of(
        files["truth"], files["json"], "--protocol", "prophesee", capsys=capsys
    )
    with pytest.raises(DataError, match="has detections by recording and time, but the images"):
        read_detections(files["folder"], read_ground_truth(files["truth"]))


def test_nothing_is_overwritten(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"must be an empty folder, a new one, or a file \.json"):
        refuse_unwritable(files["folder"])
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(OutputError, match=r"is a folder\. Choose another name\."):
        refuse_unwritable(tmp_path / "folder.json")
