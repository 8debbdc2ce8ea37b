"""The same command again and again: it starts, resumes after each stop, and ends."""

from __future__ import annotations

import argparse
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import words, write_dataset

from easnn.checkpoints import load_checkpoint
from easnn.cli import train
from easnn.engine import trainer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data", 0)
    return tmp_path


def stop_in_each_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let a training receive a signal in each of its steps."""
    set_learning_rate = trainer.set_learning_rate

    def stop(optimizer: torch.optim.Optimizer, lr: float) -> None:
        os.kill(os.getpid(), number)
        set_learning_rate(optimizer, lr)

    monkeypatch.setattr(trainer, "set_learning_rate", stop)


def test_a_job_that_is_queued_again_after_each_step_ends_as_if_nothing_had_happened(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(words(folder, folder / "whole", "")) == 0
    command = [*words(folder, folder / "out", ""), "--auto-resume"]
    command += ["--grid_search", str(folder / "table.csv")]
    with monkeypatch.context() as patch:
        stop_in_each_step(patch, signal.SIGUSR1)
        for done in range(1, 5):
            with pytest.raises(SystemExit) as stopped:
                train.main(command)
            assert stopped.value.code == 138
            latest = load_checkpoint(folder / "out" / "run" / "latest_ckpt.pth")
            assert latest["steps_done"] == done
            assert "Stopped by SIGUSR1 after epoch" in capsys.readouterr().err
    for _ in range(2):  # what is finished stays as it is
        assert train.main(command) == 0
        latest, whole = (
            load_checkpoint(folder / name / "run" / "latest_ckpt.pth") for name in ("out", "whole")
        )
        assert latest["epoch"] == 2
        for name, value in whole["raw_model"].items():
            assert torch.equal(latest["raw_model"][name], value)
        lines = (folder / "out" / "run" / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["iteration"] for line in lines] == [2, 2, 4, 4]
        assert len((folder / "table.csv").read_text().splitlines()) == 2
    assert not (folder / "out" / "run" / "earlier-1").exists()


def test_initial_weights_are_for_the_start_only(folder: Path) -> None:
    assert train.main(words(folder, folder / "out", "exp_name first")) == 0
    weights = folder / "out" / "first" / "latest_ckpt.pth"
    command = [*words(folder, folder / "out", "max_epoch 1"), "-c", str(weights), "--auto-resume"]
    for epochs in (1, 2):
        command[command.index("max_epoch") + 1] = str(epochs)
        assert train.main(command) == 0
    latest = load_checkpoint(folder / "out" / "run" / "latest_ckpt.pth")
    assert (latest["epoch"], latest["steps_done"]) == (2, 4)


def test_another_signal_can_be_chosen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_in_each_step(monkeypatch, signal.SIGUSR2)
    with pytest.raises(SystemExit) as stopped:
        train.main([*words(folder, folder / "out", ""), "--stop-signal", "USR2"])
    assert stopped.value.code == 128 + signal.SIGUSR2


@pytest.mark.parametrize("name", ["KILL", "SIGNAL", "10"])
def test_what_is_no_signal_to_handle(name: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as error:
        train._signal(name)
    assert str(error.value) == (
        f"must be the name of a signal that can be handled, like SIGUSR1, but is {name!r}"
    )


def test_an_epoch_to_start_at_contradicts_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main([*words(folder, folder / "out", ""), "--auto-resume", "-e", "1"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: `-e` cannot be given with --auto-resume or restarts: each time the run would go "
        "back to epoch 1. Leave one of them out."
    )


def test_processes_that_are_started_again_resume(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: dict[str, Any] = {}
    monkeypatch.setattr(
        "easnn.cli.tasks.experiment.launch", lambda _main, _args, **how: launched.update(how)
    )
    assert train.main([*words(folder, folder / "out", ""), "--max-restarts", "3"]) == 0
    assert (launched["max_restarts"], launched["stop_signal"]) == (3, signal.SIGUSR1)
    [options] = launched["args_of_restart"]
    assert options.auto_resume


def test_a_process_that_torchrun_started_again_resumes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train.main(words(folder, folder / "out", "max_epoch 1")) == 0
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert train.main(words(folder, folder / "out", "")) == 0
    latest = load_checkpoint(folder / "out" / "run" / "latest_ckpt.pth")
    assert (latest["epoch"], latest["steps_done"]) == (2, 4)
