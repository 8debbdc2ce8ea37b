from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from counting_program import checkpoint

from easnn.checkpoints import load_checkpoint, save_checkpoint
from easnn.soak import differences

STEP = {"kind": "train", "iteration": 1, "step": 1, "total_loss": 0.1, "time": 17.5}
EVALUATION = {"kind": "eval", "iteration": 1, "ap": 0.25}


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal runs."""
    one, other = tmp_path / "one", tmp_path / "other"
    (one / "results").mkdir(parents=True)
    for name in ("latest", "best"):
        save_checkpoint(one / f"{name}_ckpt.pth", checkpoint(torch.tensor([0.0, 1.0, 2.0]), 2))
    (one / "results" / "epoch_1.json").write_text('{"ap": 0.25, "classes": [{"ap": 0.5}]}')
    (one / "metrics.jsonl").write_text(f"{json.dumps(STEP)}\n{json.dumps(EVALUATION)}\n")
    shutil.copytree(one, other)
    return one, other


def change(path: Path, **entries: Any) -> None:
    save_checkpoint(path, {**load_checkpoint(path), **entries})


def test_what_differs_between_equal_runs(runs: tuple[Path, Path]) -> None:
    """Times, the log, and what earlier runs of the same name left."""
    one, other = runs
    lines = f"{json.dumps({**STEP, 'time': 99.0})}\n{json.dumps(EVALUATION)}\n"
    (other / "metrics.jsonl").write_text(lines)
    (other / "train_log.txt").write_text("12:00")
    (other / "earlier-1").mkdir()
    (other / "earlier-1" / "best_ckpt.pth").touch()
    assert differences(one, other) == []


def test_the_last_bit_of_a_weight(runs: tuple[Path, Path]) -> None:
    one, other = runs
    weights = torch.tensor([0.0, 1.0, torch.nextafter(torch.tensor(2.0), torch.tensor(3.0))])
    change(other / "best_ckpt.pth", raw_model={"total": weights})
    assert differences(one, other) == [
        "best_ckpt.pth: raw_model.total: 1 of 3 numbers differ, by up to 2.38e-07"
    ]


def test_the_sign_of_zero(runs: tuple[Path, Path]) -> None:
    one, other = runs
    change(other / "best_ckpt.pth", model={"total": torch.tensor([-0.0, 1.0, 2.0])})
    assert differences(one, other) == [
        "best_ckpt.pth: model.total: 1 of 3 numbers differ, by up to 0"
    ]


@pytest.mark.parametrize(
    ("entries", "difference"),
    [
        ({"step": 3}, "step is 3, not 2"),
        ({"step": 2.0}, "step is 2.0, not 2"),
        ({"best_ap": None}, "best_ap is None, not 0.25"),
        ({"best_epoch": 2}, "best_epoch is 2, not 1"),
        ({"rng": [1]}, "rng has 1 entries, not 0"),
        ({"scaler": {"scale": 2.0}}, "scaler.scale is there in addition"),
        ({"experiment": []}, "experiment is [], not {}"),
        ({"raw_model": {}}, "raw_model.total is missing"),
        (
            {"raw_model": {"total": torch.zeros(3, dtype=torch.float64)}},
            "raw_model.total is torch.float64 [3], not torch.float32 [3]",
        ),
        (
            {"optimizer": {"state": {0: {"step": torch.tensor(2.0)}}, "lr": 0.3}},
            "optimizer.lr is 0.3, not 0.30000000000000004",
        ),
        (
            {"optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "lr": 0.1 + 0.2}},
            "optimizer.state.0.step: 1 of 1 numbers differ, by up to 1",
        ),
    ],
    ids=str,
)
def test_every_entry_of_a_checkpoint_counts(
    runs: tuple[Path, Path], entries: dict[str, Any], difference: str
) -> None:
    one, other = runs
    change(other / "latest_ckpt.pth", **entries)
    assert differences(one, other) == [f"latest_ckpt.pth: {difference}"]


def test_files_that_are_missing_additional_unfinished_or_damaged(runs: tuple[Path, Path]) -> None:
    one, other = runs
    (other / "best_ckpt.pth").unlink()
    (other / "epoch_1_ckpt.pth").touch()
    (other / ".latest_ckpt.pth.abcd1234").touch()
    (other / "latest_ckpt.pth").write_bytes((one / "latest_ckpt.pth").read_bytes()[:-100])
    found = differences(one, other)
    assert found[:-1] == [
        ".latest_ckpt.pth.abcd1234 was left unfinished",
        "best_ckpt.pth is missing",
        "epoch_1_ckpt.pth is there in addition",
    ]
    assert found[-1].startswith(f"latest_ckpt.pth cannot be read: {other}/latest_ckpt.pth (")


@pytest.mark.parametrize(
    ("lines", "difference"),
    [
        ([STEP], " has 1 lines, not 2"),
        ([STEP, EVALUATION, EVALUATION], " has 3 lines, not 2"),
        ([EVALUATION, STEP], ", line 1.kind is 'eval', not 'train'"),
        ([{**STEP, "total_loss": 0.2}, EVALUATION], ", line 1.total_loss is 0.2, not 0.1"),
        ([STEP, {**EVALUATION, "ap": None}], ", line 2.ap is None, not 0.25"),
    ],
    ids=str,
)
def test_every_line_of_the_metrics_counts(
    runs: tuple[Path, Path], lines: list[dict[str, Any]], difference: str
) -> None:
    one, other = runs
    (other / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert differences(one, other)[0] == f"metrics.jsonl{difference}"


def test_a_line_that_was_cut(runs: tuple[Path, Path]) -> None:
    one, other = runs
    (other / "metrics.jsonl").write_text(f'{json.dumps(STEP)}\n{{"kind": "ev')
    assert differences(one, other)[0].startswith("metrics.jsonl cannot be read: ")


def test_the_result_of_an_evaluation(runs: tuple[Path, Path]) -> None:
    one, other = runs
    (other / "results" / "epoch_1.json").write_text('{"ap": 0.25, "classes": [{"ap": 0.75}]}')
    assert differences(one, other) == ["results/epoch_1.json.classes[0].ap is 0.75, not 0.5"]
