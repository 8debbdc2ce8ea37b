from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from easnn.cli.make_synthetic import main

TINY = [
    "--train",
    "1",
    "--val",
    "1",
    "--test",
    "0",
    "--sensor-size",
    "48x64",
    "--duration-s",
    "0.5",
]


def test_makes_a_dataset_and_prints_what_it_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "data"), *TINY, "--processes", "1"]) == 0
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == [
        "split",
        "recordings",
        "events",
        "car",
        "boxes",
        "pedestrian",
        "boxes",
        "Mev/s",
    ]
    assert [row.split()[:2] for row in rows] == [["train", "1"], ["val", "1"], ["test", "0"]]
    assert (tmp_path / "data/val/val_0000_td.dat").exists()


def test_an_error_is_one_line_and_a_non_zero_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--threshold", "0"]) == 1
    assert capsys.readouterr().err == "error: `threshold` must be above 0, but is 0.0.\n"


def test_a_wrong_sensor_size_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path), "--sensor-size", "240"])
    assert stop.value.code == 2
    expected = (
        "argument --sensor-size: must be height x width in pixels, like 240x304, but is '240'"
    )
    assert expected in capsys.readouterr().err


def test_the_script_runs_from_any_directory(tmp_path: Path) -> None:
    script = Path(__file__).resolve().parents[2] / "tools/make_synthetic.py"
    command = [sys.executable, str(script), "data", *TINY, "--processes", "2"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "data/train/train_0000_bbox.npy").exists()


def test_a_scenario_is_chosen_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = [str(tmp_path / "data"), *TINY, "--processes", "1", "--scenario"]
    assert main([*scenario, "crossing"]) == 0
    assert '"scenario": "crossing"' in (tmp_path / "data/dataset.json").read_text()
    capsys.readouterr()
    assert main([*scenario, "night"]) == 1
    assert capsys.readouterr().err == (
        "error: `scenario` must be one of street, crossing, but is night.\n"
    )
