from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from easnn.cli.check_data import main
from easnn.events import (
    BOX_DTYPE,
    Contours,
    pack_events,
    write_boxes,
    write_contours,
    write_dat,
    write_n_mnist,
)

CHECKOUT = Path(__file__).resolve().parents[2]


def events_of(seed: int) -> np.ndarray:
    """Return an event every millisecond for a second."""
    rng = np.random.default_rng(seed)
    return pack_events(
        range(0, 1_000_000, 1000), rng.integers(0, 64, 1000), rng.integers(0, 32, 1000), [0] * 1000
    )


def write_recording(
    folder: Path, name: str, seed: int, boxes: list[tuple[float, ...]] | None = None
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_dat(folder / f"{name}_td.dat", events_of(seed), sensor_hw=(32, 64))
    rows = np.zeros(1 if boxes is None else len(boxes), BOX_DTYPE)
    for row, values in zip(
        rows, [(500_000, 1, 2, 20, 10, 1)] if boxes is None else boxes, strict=True
    ):
        for field, value in zip(("t_us", "x", "y", "w", "h", "class_id"), values, strict=True):
            row[field] = value
    write_boxes(folder / f"{name}_bbox.npy", rows)


def words(root: Path, data_name: str = "gen1", *more: str) -> list[str]:
    return ["data_name", data_name, "data_dir", str(root), *more]


def problems_of(root: Path, *more: str, code: int = 0) -> list[tuple[str, str, str, bool]]:
    path = root / "report.json"
    assert main(["--json", str(path), *words(root, "gen1", *more)]) == code
    return [tuple(problem.values()) for problem in json.loads(path.read_text())["problems"]]


def test_a_sound_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, split in enumerate(("train", "val", "test")):
        write_recording(tmp_path / split, split, seed)
    assert main(["--json", str(tmp_path / "report.json"), *words(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == [
        *["train", "1", "1,000", "1", "1", "0.000", "0.999", "(0.999", "to", "0.999)"],
        *["0.001", "(0.001", "to", "0.001)"],
    ]
    assert [line.split() for line in lines[8:10]] == [
        ["car", "0", "0", "0"],
        ["pedestrian", "1", "1", "1"],
    ]
    assert lines[-1] == "Training would work. Problems that would not stop it: 0."
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["splits"]["val"][0] | {"digest": ""} == {
        "name": "val",
        "boxes": [0, 1],
        "events": 1000,
        "histograms": 0,
        "duration_us": 999_000,
        "frames": 1,
        "digest": "",
    }
    assert report["problems"] == []


def test_problems_of_labels_are_named(tmp_path: Path) -> None:
    boxes = [
        (100_000, -5, 2, 20, 10, 0),
        (100_000, 70, 2, 20, 10, 0),
        (200_000, 1, 2, 0, 10, 1),
        (1_700_000, 1, 2, 20, 10, 1),
    ]
    write_recording(tmp_path / "train", "a", 0, boxes)
    write_recording(tmp_path / "val", "b", 1)
    write_recording(tmp_path / "test", "c", 2)
    path = f"{tmp_path}/train/a_bbox.npy"
    assert problems_of(tmp_path) == [
        (
            "boxes without a size",
            path,
            "1 of 4, the first at 200000 µs: x=1, y=2, w=0, h=10",
            False,
        ),
        (
            "boxes outside of the frame",
            path,
            "1 of 4, the first at 100000 µs: x=70, y=2, w=20, h=10",
            False,
        ),
        (
            "boxes partly out of the frame",
            path,
            "1 of 4, the first at 100000 µs: x=-5, y=2, w=20, h=10",
            False,
        ),
        ("labels without events", path, "1 of 3 labelled times, the first at 1700000 µs", False),
    ]
    assert main(["--strict", *words(tmp_path)]) == 1


def test_leakage_between_splits(tmp_path: Path) -> None:
    write_recording(tmp_path / "train", "a", 0)
    write_recording(tmp_path / "train", "b", 1)
    write_recording(tmp_path / "val", "a", 2)
    write_recording(tmp_path / "test", "renamed", 1)
    assert problems_of(tmp_path) == [
        ("recording in several splits", "a", "in train, val", False),
        ("same events in several splits", "train/b", "also test/renamed", False),
    ]


def test_events_outside_of_the_sensor(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "val", "test")):
        write_recording(tmp_path / split, split, seed)
    path = tmp_path / "val" / "val_td.dat"
    data = bytearray(path.read_bytes())
    data[-4:] = (64 | 5 << 14).to_bytes(4, "little")
    data[-12:-8] = (3 | 900 << 14).to_bytes(4, "little")
    path.write_bytes(data)
    assert problems_of(tmp_path, code=1) == [
        (
            "unreadable events",
            str(path),
            f"Event 998 of {path} must lie inside the sensor, 64×32 pixels, but is t_us=998000, "
            "x=3, y=900, p=0. If only single events of the file are wrong, drop them with "
            "`drop_invalid` (a key, and an argument in Python) or --drop-invalid.",
            True,
        )
    ]
    assert problems_of(tmp_path, "drop_invalid", "True") == [
        (
            "events outside of the sensor",
            str(path),
            "2 of 1000 events are dropped (`drop_invalid`)",
            False,
        )
    ]
    [survey] = json.loads((tmp_path / "report.json").read_text())["splits"]["val"]
    assert survey["events"] == 998


def test_unsorted_times(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "val", "test")):
        write_recording(tmp_path / split, split, seed)
    path = tmp_path / "train" / "train_td.dat"
    data = bytearray(path.read_bytes())
    data[-8:-4] = (998_500).to_bytes(4, "little")  # later than the one before it
    data[-24:-20] = (5).to_bytes(4, "little")
    path.write_bytes(data)
    assert problems_of(tmp_path) == [
        ("unsorted times", str(path), "1 of 1000 events come after a later one", False)
    ]


@pytest.mark.parametrize("damaged", ["r0", "r1"])
def test_what_would_stop_a_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damaged: str
) -> None:
    for number in range(3):
        write_recording(tmp_path / "train", f"r{number}", number)
    write_recording(tmp_path / "val", "v", 3, [(500_000, 1, 2, 20, 10, 7)])
    cut = tmp_path / "train" / f"{damaged}_td.dat"
    cut.write_bytes(cut.read_bytes()[:-3])
    found = problems_of(tmp_path, code=1)
    assert [(kind, where, fatal) for kind, where, _, fatal in found] == [
        ("unreadable events", str(cut), True),
        ("unreadable labels", f"{tmp_path}/val/v_bbox.npy", True),
        ("split without labels", "val", True),
        ("split not readable", "test", False),
    ]
    lines = capsys.readouterr().out.splitlines()
    assert "ERROR: unreadable events: 1" in lines
    assert lines[-1] == "Training would not work: 3 of 4 problems would stop it."


def test_the_keys_of_a_training_are_checked_against_the_dataset(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "val", "test")):
        write_recording(tmp_path / split, split, seed)
    assert problems_of(tmp_path, "num_classes", "2") == []
    detail = (
        f"`num_classes` must be 2 (car, pedestrian) for {tmp_path}, but is 3. Other classes are "
        "declared as"
    )
    found = problems_of(tmp_path, "num_classes", "3", code=1)
    assert [(kind, where, fatal) for kind, where, _, fatal in found] == [
        ("experiment does not fit", "train", True),
        ("experiment does not fit", "val", True),
    ]
    assert found[0][2].startswith(detail)
    assert main(["-n", "e-yolox-s", *words(tmp_path)]) == 1


def test_any_number_of_processes_finds_the_same(tmp_path: Path) -> None:
    for number in range(3):
        write_recording(tmp_path / "train", f"r{number}", number)
    write_recording(tmp_path / "val", "v", 9)
    for processes in (1, 2):
        json_file = tmp_path / f"{processes}.json"
        assert (
            main(["--processes", str(processes), "--json", str(json_file), *words(tmp_path)]) == 0
        )
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()


def test_n_caltech(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        events_path = tmp_path / "Caltech101" / "cup" / f"image_{number:04d}.bin"
        boxes_path = tmp_path / "Caltech101_annotations" / "cup" / f"annotation_{number:04d}.bin"
        for path in (events_path, boxes_path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_n_mnist(events_path, events_of(number))
        box = np.array([(-4 + number, 5), (30, 5), (30, 60), (-4 + number, 60)])
        write_contours(boxes_path, Contours(box, box))
    assert main(words(tmp_path, "n-caltech")) == 0
    out = capsys.readouterr().out
    assert "note: boxes partly out of the frame: 4\n" in out
    assert "test.txt is missing: those made without lists are train, val." in out


def test_wrong_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data_nam", "gen1"]) == 1
    assert capsys.readouterr().err == "error: Unknown key `data_nam`. Did you mean `data_name`?\n"


def test_the_script_runs_from_any_directory(tmp_path: Path) -> None:
    write_recording(tmp_path / "data" / "train", "a", 0)
    script = CHECKOUT / "tools" / "check_data.py"
    done = subprocess.run(
        [sys.executable, str(script), *words(Path("data"))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert "  val: data/val is not a folder." in done.stdout


@pytest.mark.parametrize("bad", ["r0_td.dat", "r1_td.dat", "r0_bbox.npy"])
def test_a_loop_of_links_does_not_hide_the_other_files(tmp_path: Path, bad: str) -> None:
    for number in range(2):
        write_recording(tmp_path / "train", f"r{number}", number)
    write_recording(tmp_path / "val", "v", 3, [])
    path = tmp_path / "train" / bad
    path.unlink()
    path.symlink_to(bad)
    what = "events" if bad.endswith("_td.dat") else "labels"
    reason = f"Cannot read {path}: Too many levels of symbolic links."
    found = problems_of(tmp_path, code=1)
    assert (f"unreadable {what}", str(path), reason, True) in found
    assert ("split without labels", "val", "nothing is labelled", True) in found
