"""Runs that use all recipes at once, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from small_runs import words, write_dataset

from easnn.checkpoints import load_checkpoint
from easnn.cli import train

RECIPE = (
    "optimizer ADAMW weight_decay 0.1 scheduler onecycle clip_grad 0.05 accumulate 2 "
    "freeze embedding,norm max_epoch 4 zoom_prob 0.5 rotation 10 shear 10 erase_prob 0.4 "
    "time_flip 0.5 label_filter True min_visible 0.3"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data", 0)
    return tmp_path


def lines_of(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "train"]


def test_a_run_with_all_recipes_and_its_resumption(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(words(folder, folder / "start", "")) == 0
    start = folder / "start" / "run" / "latest_ckpt.pth"
    initial = load_checkpoint(start)["model"]
    capsys.readouterr()
    whole = folder / "whole"
    assert train.main([*words(folder, whole, RECIPE), "-c", str(start)]) == 0
    said = capsys.readouterr().err
    assert "`freeze` embedding,norm: 63 of 207 parameters are not trained" in said
    assert "random weights" not in said

    lines = lines_of(whole / "run")
    # 4 samples, 2·2 of a step: one step per epoch. pct_start·4 − 1 = 0.2: it starts below lr.
    lr = 0.01 * 2 * 2
    assert [line["iteration"] for line in lines] == [1, 2, 3, 4]
    assert lines[0]["lr"] == pytest.approx(lr / 25)
    assert lines[3]["lr"] == pytest.approx(lr / 25e4)
    assert all(lines[1]["lr"] > line["lr"] for line in (lines[0], *lines[2:]))
    assert max(line["grad_norm"] for line in lines) > 0.05
    saved = load_checkpoint(whole / "run" / "latest_ckpt.pth")
    for name, value in initial.items():
        same = torch.equal(saved["raw_model"][name], value)
        assert same == name.startswith(("embedding.", "norm.")), name

    parts = folder / "parts"
    first = f"{RECIPE} save_history_ckpt True"
    assert train.main([*words(folder, parts, first), "-c", str(start)]) == 0
    middle = parts / "run" / "epoch_2_ckpt.pth"
    again = [*words(folder, folder / "again", RECIPE), "--resume", "-c", str(middle)]
    assert train.main(again) == 0
    resumed = load_checkpoint(folder / "again" / "run" / "latest_ckpt.pth")
    for kind in ("model", "raw_model"):
        assert all(torch.equal(resumed[kind][name], saved[kind][name]) for name in saved[kind])


def test_wrong_parts_are_refused_before_a_run_is_touched(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(words(folder, folder / "out", "max_epoch 1")) == 0
    before = {p: p.read_bytes() for p in (folder / "out").rglob("*_ckpt.pth")}
    capsys.readouterr()
    assert train.main(words(folder, folder / "out", "freeze backbone")) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: `freeze` must name parts of the network, but the network has no part 'backbone'. "
        "Its parts are embedding, norm, head."
    )
    assert {p: p.read_bytes() for p in (folder / "out").rglob("*_ckpt.pth")} == before


def test_freezing_random_weights_is_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(words(folder, folder / "out", "freeze embedding max_epoch 1")) == 0
    assert (
        "What `freeze` names keeps its random weights. Give initial weights (-c)."
        in capsys.readouterr().err
    )
