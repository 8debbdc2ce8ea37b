from __future__ import annotations

import csv
from pathlib import Path

import pytest

from easnn.cli import train
from easnn.cli.arguments import parse
from easnn.cli.grid_search import note_grid_search
from easnn.engine import RunDirectory, TrainResult

TINY = (
    "width 0.125 T 2 Tm 3 embedding_depth 1 input_size 32,64 test_size 32,64 max_epoch 1 data_num_workers 0 "
    "test_conf 0.0001 eval_initial False pictures False"
)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_training_appends_its_row(raw_dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text("best_ap,checkpoint,command\n0.5,earlier,python\n")
    pairs = ["data_dir", str(raw_dataset), "output_dir", str(tmp_path), "exp_name", "the run"]
    words = ["-n", "e-yolox-demo", "-b", "2", "--grid_search", str(path), *pairs, *TINY.split()]
    assert train.main(words) == 0
    earlier, row = rows_of(path)
    assert earlier == {"best_ap": "0.5", "checkpoint": "earlier", "command": "python"}
    assert 0 <= float(row["best_ap"]) <= 1
    assert row["checkpoint"] == str(tmp_path / "the run" / "best_ckpt.pth")
    assert Path(row["checkpoint"]).is_file()
    assert row["command"] == (
        f"easnn train -n e-yolox-demo -b 2 --grid_search {path} data_dir {raw_dataset} "
        f"output_dir {tmp_path} exp_name 'the run' {TINY}"
    )


def test_without_an_ap_the_checkpoint_is_the_last(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    options = parse(train.make_parser(), ["-n", "e-yolox-s", "--grid_search", str(path)])
    note_grid_search(options, TrainResult(None, None, None), RunDirectory(tmp_path))
    assert rows_of(path) == [
        {
            "best_ap": "",
            "checkpoint": str(tmp_path / "latest_ckpt.pth"),
            "command": f"easnn train -n e-yolox-s --grid_search {path}",
        }
    ]


def test_a_table_that_cannot_be_written_is_found_before_the_training(
    raw_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n")
    pairs = ["data_dir", str(raw_dataset), "output_dir", str(tmp_path / "runs")]
    assert train.main(["-n", "e-yolox-demo", "--grid_search", str(path), *pairs]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {path} must begin with the header best_ap,checkpoint,command, but begins with 'a,b'. "
        "Choose another file."
    )
    assert not (tmp_path / "runs").exists()
