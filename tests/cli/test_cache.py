"""``--cache`` of the commands: the same results, found again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from easnn.cli import eval as evaluation
from easnn.cli import train
from easnn.cli.arguments import build_parser, parse
from easnn.exp import get_exp

CHECKOUT = Path(__file__).resolve().parents[2]
TINY = (
    "width 0.125 T 2 Tm 3 embedding_depth 1 input_size 32,64 test_size 32,64 max_epoch 2 "
    "eval_interval 1 test_conf 0.0001 eval_initial False pictures False"
)


def words_for(dataset: Path, output: Path, name: str, workers: int = 0) -> list[str]:
    pairs = (
        f"data_dir {dataset} output_dir {output} cache_dir {output}/cache exp_name {name} {TINY}"
    )
    return ["-n", "e-yolox-demo", "-b", "2", *pairs.split(), "data_num_workers", str(workers)]


def outcome(run: Path) -> tuple[list[torch.Tensor], list[object]]:
    weights = torch.load(run / "latest_ckpt.pth", weights_only=True)["model"]
    results = [
        json.loads(path.read_text()) for path in sorted((run / "results").glob("epoch_*.json"))
    ]
    return list(weights.values()), results


def cache_lines(text: str) -> list[str]:
    return [line.split(" | ")[-1] for line in text.splitlines() if "| cache" in line]


def test_results_are_the_same_with_any_cache(
    raw_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(words_for(raw_dataset, tmp_path, "plain")) == 0
    assert cache_lines(capsys.readouterr().err) == []
    weights, results = outcome(tmp_path / "plain")
    for name, options, workers, rates in (
        ("first", ["--cache", "disk"], 1, ["0.0%", "100.0%", "50.0%"]),
        ("second", ["--cache", "disk"], 0, ["100.0%"] * 3),
    ):
        assert train.main([*options, *words_for(raw_dataset, tmp_path, name, workers)]) == 0
        lines = cache_lines(capsys.readouterr().err)
        assert [line.split()[-1] for line in lines] == rates
        assert [line.split(", ")[-3].split(": ")[-1] for line in lines] == ["8 frames"] * 3
        assert lines[-1].startswith("cache, whole run: ")
        assert outcome(tmp_path / name)[1] == results
        assert all(a.equal(b) for a, b in zip(outcome(tmp_path / name)[0], weights, strict=True))
    checkpoint = str(tmp_path / "first" / "best_ckpt.pth")
    assert evaluation.main(["-c", checkpoint, "--cache", "disk"]) == 0
    assert [line.split()[-1] for line in cache_lines(capsys.readouterr().err)] == ["100.0%"]


def test_two_processes_share_a_cache_in_memory(raw_dataset: Path, tmp_path: Path) -> None:
    words = words_for(raw_dataset, tmp_path, "two", 1)
    done = subprocess.run(
        [sys.executable, "tools/train_event.py", "-d", "2", "--cache", *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    lines = cache_lines(done.stderr)
    assert [line.split()[-1] for line in lines] == ["0.0%", "100.0%", "50.0%"]
    assert lines[0].startswith("cache: 8 frames, ")


def test_a_cache_that_cannot_be_kept_is_said_at_the_start(
    raw_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("")
    assert train.main(["--cache", "disk", *words_for(raw_dataset, tmp_path, "any")]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: Cannot write to directory {tmp_path}/cache/frames: Not a directory. Choose "
        "another directory or free some space."
    )
    assert not (tmp_path / "any").exists()


@pytest.mark.parametrize(
    ("words", "kind", "pairs"),
    [
        ("--cache", "ram", []),
        ("--cache ram T 3", "ram", ["T", "3"]),
        ("--cache disk T 3", "disk", ["T", "3"]),
        ("T 3 --cache", "ram", ["T", "3"]),
        ("--cache T 3", "ram", ["T", "3"]),
        ("T 3 --cache window -200 --fp16", "ram", ["T", "3", "window", "-200"]),
        ("--cache --fp16", "ram", []),
        ("T 3", None, ["T", "3"]),
    ],
)
def test_cache_alone_means_memory(words: str, kind: str | None, pairs: list[str]) -> None:
    options = parse(build_parser("", checkpoint_help=""), words.split())
    assert (options.cache, options.pairs) == (kind, pairs)


def test_the_default_folder_is_that_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = get_exp(exp_name="e-yolox-s")
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/where")
    assert experiment.cache_root() == Path("/some/where/easnn")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/user")
    assert experiment.cache_root() == Path("/home/user/.cache/easnn")
    experiment.cache_dir = "~/fast"
    assert experiment.cache_root() == Path("/home/user/fast")
