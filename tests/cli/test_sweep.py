"""A sweep that trains and evaluates for real; tests/sweep has the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from easnn.cli.sweep import main

TINY = """
experiment = "e-yolox-demo"
batch_size = 4
seeds = [1]
split = "val"
[keys]
width = 0.125
T = 2
input_size = [32, 64]
test_size = [32, 64]
max_epoch = 1
data_num_workers = 0
test_conf = 0.0001
eval_initial = false
pictures = false
[variants.count]
embedding = "count"
"""


def test_the_commands_of_the_package(
    tmp_path: Path,
    raw_dataset: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "sweep.toml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    code = main(
        ["sweep.toml", "--output", "out", "data_dir", str(raw_dataset), "eval_both", "True"]
    )
    assert code == 0, capsys.readouterr().err + Path("out/logs/count_seed1.log").read_text()
    result = json.loads(
        Path("out/count_seed1/results/best_ckpt_val_coco_prophesee.json").read_text()
    )
    row = json.loads(Path("out/table.json").read_text())["variants"][0]
    assert row["seeds"][0]["ap"] == row["ap"]["mean"] == result["ap"]
    assert row["ap"]["deviation"] is None
    assert row["seeds"][0]["train_s"] > 0
