"""``--dry-run``: one step of everything, with the options of a run, in a folder that is removed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import words, write_dataset

from easnn.cli import train
from easnn.cli.tasks import dry_run
from easnn.engine import RunOwner, Trainer
from easnn.utils.errors import OutputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data", 0)
    return tmp_path


def rehearse(folder: Path, keys: str = "", *options: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the JSON file."""
    table = folder / "table.json"
    code = train.main(
        [*words(folder, folder / "out", keys), "--dry-run", "--json", str(table), *options]
    )
    return code, json.loads(table.read_text())


def results(found: dict[str, Any]) -> dict[str, str]:
    return {part["name"]: part["result"] for part in found["parts"]}


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return every file below a folder, with its time of change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def error(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


PARTS = [
    "settings",
    "run directory",
    "data",
    "network",
    "first batch",
    "first step",
    "checkpoint",
    "resume",
    "second batch",
    "second step",
    "evaluation",
]


def test_every_part_is_done_once_and_nothing_stays(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = rehearse(folder)
    assert code == 0
    assert (found["works"], found["error"]) == (True, None)
    assert [part["name"] for part in found["parts"]] == PARTS
    assert all(part["works"] and part["seconds"] >= 0 for part in found["parts"])
    told = results(found)
    assert told["settings"] == "-b 2, 1 process on cpu, precision exact, seed 5"
    assert told["run directory"] == f"{folder / 'out' / 'run'} would be created"
    assert told["data"] == "train: 4 frames; val: 4 frames"
    assert told["network"] == "0.00 M parameters, new weights"
    assert told["first batch"] == told["second batch"] == "2 samples"
    assert told["first step"].startswith("total_loss ")
    assert told["resume"] == "epoch 1, step 1"
    assert told["evaluation"] == "4 of 4 frames"
    assert found["steps_per_epoch"] == 2
    assert found["epoch_s"] == pytest.approx(2 * (found["step_s"] + found["batch_s"]))
    assert found["evaluation_s"] == pytest.approx(4 * found["eval_frame_s"])
    assert found["peak_memory_mb"] > 0
    assert not (folder / "out").exists()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["part", "seconds", "result"]
    assert [line[: len(name)] for line, name in zip(lines[2:], PARTS, strict=False)] == PARTS
    assert lines[-4].startswith("Rough estimate, from one step: an epoch of 2 steps takes ")
    assert lines[-1] == "The run would work."


def test_the_losses_are_those_of_the_run(folder: Path) -> None:
    _, found = rehearse(folder, "print_interval 1")
    assert train.main(words(folder, folder / "out", "print_interval 1 max_epoch 1")) == 0
    lines = map(json.loads, (folder / "out" / "run" / "metrics.jsonl").read_text().splitlines())
    losses = [f"total_loss {line['total_loss']:.4g}" for line in lines if line["kind"] == "train"]
    assert [results(found)[f"{which} step"] for which in ("first", "second")] == losses


def test_an_existing_run_is_not_touched_and_what_would_happen_to_it_is_said(folder: Path) -> None:
    run = folder / "out" / "run"
    assert train.main(words(folder, folder / "out", "max_epoch 1")) == 0
    before = contents(folder / "out")
    _, found = rehearse(folder)
    assert results(found)["run directory"] == (
        f"6 files of an earlier run would be moved to {run / 'earlier-1'}"
    )
    _, found = rehearse(folder, "", "--resume")
    assert results(found)["run directory"] == f"{run} would be continued"
    assert results(found)["network"] == (
        f"0.00 M parameters, resumed from {run / 'latest_ckpt.pth'}"
    )
    assert results(found)["resume"] == "epoch 2, step 1"
    code, found = rehearse(folder, "max_epoch 1", "--auto-resume")
    assert code == 0
    assert results(found)["first batch"] == "nothing is left to train"
    assert results(found)["resume"] == "nothing is left to train"
    code, found = rehearse(folder, "exp_name other", "-c", str(run / "best_ckpt.pth"))
    assert results(found)["network"] == f"0.00 M parameters, weights from {run / 'best_ckpt.pth'}"
    assert contents(folder / "out") == before
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["run"]


def test_a_directory_in_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder / "out" / "run"
    with RunOwner(run) as owner:
        owner.start(resume=False)
        before = contents(run)
        code, found = rehearse(folder)
        assert code == 1
        with pytest.raises(OutputError) as refused, RunOwner(run):
            pass
        assert error(capsys) == f"error: {refused.value}"
        assert found["error"] == str(refused.value)
        assert not found["works"]
        assert [(part["name"], part["works"]) for part in found["parts"]] == [
            ("settings", True),
            ("run directory", False),
        ]
        assert contents(run) == before


def test_a_resume_that_would_be_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(words(folder, folder / "out", "max_epoch 1")) == 0
    latest = folder / "out" / "run" / "latest_ckpt.pth"
    code, _ = rehearse(folder, "seed 6", "--resume")
    assert code == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1] == (
        f"error: `seed` must stay 5 when {latest} is resumed, because the order of the samples "
        "follows from it, but is 6. Set it as it was, or start a new run from these weights (-c "
        "without --resume)."
    )
    assert captured.out.splitlines()[-1] == "The run would not work."


def test_a_damaged_recording(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "data" / "val" / "a_bbox.npy"
    np.save(path, np.zeros(3))
    code, found = rehearse(folder)
    assert code == 1
    assert error(capsys) == f"error: {found['error']}"
    assert str(path) in found["error"]
    assert found["parts"][-1]["name"] == "data"
    assert not (folder / "out").exists()


def test_a_loss_that_is_not_finite(folder: Path) -> None:
    code, found = rehearse(folder, "basic_lr_per_img 1e30")
    assert code == 1
    assert found["error"].startswith("A loss is not finite in epoch 1, step 2: ")
    assert found["parts"][-1]["name"] == "second step"


def test_too_little_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore.")

    monkeypatch.setattr(Trainer, "train_on", full)
    assert rehearse(folder)[0] == 1
    assert error(capsys) == (
        "error: The memory does not suffice (first step): CUDA out of memory. Tried to allocate "
        "2.00 GiB. Use a smaller batch (-b), --fp16, more processes (-d) or "
        "`activation_checkpointing True`."
    )


def test_a_fault_of_the_program_keeps_its_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> None:
        raise RuntimeError("wrong")

    monkeypatch.setattr(Trainer, "save", wrong)
    with pytest.raises(RuntimeError, match=r"^wrong$"):
        rehearse(folder)
    assert json.loads((folder / "table.json").read_text())["error"] == "wrong"
    assert not (folder / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_it_and_nothing_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    seen = []

    def stopped(*_: object) -> None:
        seen.extend(path.name for path in (folder / "out").iterdir())
        os.kill(os.getpid(), number)

    monkeypatch.setattr(Trainer, "train_on", stopped)
    with pytest.raises(SystemExit) as ended:
        rehearse(folder)
    assert ended.value.code == 128 + number
    assert [name.startswith(".dry-run-") for name in seen] == [True]
    assert not (folder / "out").exists()
    assert not (folder / "table.json").exists()


def test_what_killed_dry_runs_left_is_removed_after_an_hour(folder: Path) -> None:
    left, used = folder / "out" / ".dry-run-left", folder / "out" / ".dry-run-used"
    for path in (left, used):
        (path / "run").mkdir(parents=True)
        (path / "run" / "file").touch()
    for path in (left, left / "run", left / "run" / "file", used):
        os.utime(path, (0, 0))
    assert rehearse(folder)[0] == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == [".dry-run-used"]


def test_a_folder_that_cannot_be_written_to(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "out").touch()
    assert rehearse(folder)[0] == 1
    assert error(capsys) == (
        f"error: Cannot write to directory {folder / 'out'}: File exists. Choose another directory "
        "or free some space."
    )


def test_the_table_of_a_grid_search_is_looked_at_only(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = folder / "grid.csv"
    assert rehearse(folder, "", "--grid_search", str(table))[0] == 0
    assert not table.exists()
    table.write_text("a,b\n")
    assert rehearse(folder, "", "--grid_search", str(table))[0] == 1
    assert error(capsys) == (
        f"error: {table} must begin with the header best_ap,checkpoint,command, but begins with "
        "'a,b'. Choose another file."
    )


def test_pictures_of_a_spiking_detector(raw_dataset: Path, tmp_path: Path) -> None:
    keys = (
        f"data_dir {raw_dataset} output_dir {tmp_path / 'out'} width 0.125 T 2 Tm 3 "
        "embedding_depth 1 input_size 32,64 test_size 32,64 data_num_workers 0"
    )
    table = tmp_path / "table.json"
    options = ["-n", "e-yolox-demo", "-b", "2", "--dry-run", "--json", str(table)]
    assert train.main([*options, *keys.split()]) == 0
    # three samples and their sampler; curves, a sample and a clip
    assert results(json.loads(table.read_text()))["pictures"] == "9 pictures"
    assert not (tmp_path / "out").exists()


def test_the_cache_workers_and_precision_of_the_run(folder: Path) -> None:
    keys = f"data_num_workers 2 cache_dir {folder / 'cache'}"
    code, found = rehearse(folder, keys, "--cache", "disk", "--fp16", "-b", "4")
    assert code == 0
    told = results(found)
    assert told["settings"] == "-b 4, 1 process on cpu, precision bf16, seed 5"
    assert found["workers"] == 2
    assert found["steps_per_epoch"] == 1
    assert told["resume"] == "epoch 1, step 1"
    assert found["epoch_s"] == pytest.approx(max(found["step_s"], found["batch_s"] / 2))
    assert not (folder / "out").exists()


def test_weights_and_biases_receives_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr("easnn.cli.tasks.train.check_writer", asked.append)
    assert rehearse(folder, "", "-l", "wandb")[0] == 0
    assert asked == ["wandb", "wandb"]


def test_two_processes(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, found = rehearse(folder, "", "-d", "2")
    assert code == 0
    assert results(found)["settings"] == "-b 2, 2 processes on cpu, precision exact, seed 5"
    assert results(found)["first batch"] == "1 samples"
    assert results(found)["evaluation"] == "4 of 4 frames"
    assert not (folder / "out").exists()


def test_json_is_for_a_dry_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main([*words(folder, folder / "out", ""), "--json", "table.json"]) == 1
    assert error(capsys) == "error: `--json` is for the table of --dry-run. Leave it out."


def test_frames_that_are_evaluated(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(dry_run, "EVAL_FRAMES", 3)
    assert results(rehearse(folder)[1])["evaluation"] == "3 of 4 frames"


def test_a_table_that_could_not_be_written_is_refused_before_the_work(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for table, reason in [
        (
            folder / "new" / "table.json",
            f"must name a file in a folder that exists, but {folder / 'new'} does not. Create it, "
            "or choose another folder.",
        ),
        (folder, f"must name a file, but {folder} is a folder."),
    ]:
        command = [*words(folder, folder / "out", ""), "--dry-run", "--json", str(table)]
        assert train.main(command) == 1
        assert error(capsys) == f"error: `--json` {reason}"
