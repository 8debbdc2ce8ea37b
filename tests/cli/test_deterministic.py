"""``--deterministic``: what it sets, what it promises, and that it says what it costs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from small_runs import words, write_dataset

from easnn.cli import train
from easnn.engine import Trainer
from easnn.utils.determinism import (
    WORKSPACE,
    WORKSPACE_SIZES,
    deterministic_algorithms,
    guarantee,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data", 0)
    return tmp_path


def settings() -> tuple[bool, bool, bool, str | None]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.backends.cudnn.benchmark,
        os.environ.get(WORKSPACE),
    )


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WORKSPACE, raising=False)


def test_the_settings_hold_in_the_block_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before = settings()
    with deterministic_algorithms():
        assert settings() == (True, False, False, WORKSPACE_SIZES)
        with deterministic_algorithms(False):
            assert not torch.are_deterministic_algorithms_enabled()
        assert settings() == (True, False, False, WORKSPACE_SIZES)
    assert settings() == before


def test_a_workspace_of_the_user_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKSPACE, ":16:8")
    with deterministic_algorithms():
        assert os.environ[WORKSPACE] == ":16:8"
    assert os.environ[WORKSPACE] == ":16:8"


def test_an_operation_without_such_an_algorithm_is_named_and_computed() -> None:
    x = torch.zeros(3, 2, requires_grad=True)
    with deterministic_algorithms(), pytest.warns(UserWarning, match="put_.*deterministic"):
        torch.put(x, torch.tensor([0, 5]), torch.ones(2))


def test_guarantee_of_each_device() -> None:
    assert f"threads ({torch.get_num_threads()}). It costs nothing." in guarantee(
        torch.device("cpu")
    )
    assert "`--dry-run --deterministic` measures by how much" in guarantee(torch.device("cuda"))


def trained(folder: Path, output: str, *options: str) -> dict[str, torch.Tensor]:
    assert train.main([*words(folder, folder / output, "max_epoch 1"), *options]) == 0
    checkpoint = folder / output / "run" / "latest_ckpt.pth"
    return torch.load(checkpoint, weights_only=True)["model"]


def test_a_cpu_computes_the_same_numbers_with_and_without(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    train_run = Trainer.train

    def spied(self: Trainer) -> object:
        seen.append(torch.are_deterministic_algorithms_enabled())
        return train_run(self)

    monkeypatch.setattr(Trainer, "train", spied)
    plain = trained(folder, "plain")
    assert "--deterministic:" not in capsys.readouterr().err
    deterministic = trained(folder, "deterministic", "--deterministic")
    assert "--deterministic: on a CPU every run computes the same" in capsys.readouterr().err
    assert seen == [False, True]
    assert not torch.are_deterministic_algorithms_enabled()
    assert plain.keys() == deterministic.keys()
    assert all(torch.equal(plain[name], deterministic[name]) for name in plain)


def test_another_choice_or_number_of_threads_is_listed_when_resuming(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(folder, "out")
    capsys.readouterr()
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        trained(folder, "out", "--resume", "--deterministic")
    finally:
        torch.set_num_threads(threads)
    told = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert ["threads", "(OMP_NUM_THREADS)", str(threads), str(threads + 1)] in [
        line[:4] for line in told
    ]
    assert ["--deterministic", "False", "True"] in [line[:3] for line in told]


def test_a_dry_run_measures_the_cost(folder: Path) -> None:
    table = folder / "table.json"
    command = [*words(folder, folder / "out", ""), "--dry-run", "--json", str(table)]
    assert train.main([*command, "--deterministic"]) == 0
    found = json.loads(table.read_text())
    (part,) = [part for part in found["parts"] if part["name"] == "deterministic"]
    assert part["result"] == f"a step takes {found['deterministic_ratio']:.2f} times as long"
    assert found["deterministic_ratio"] > 0
    assert train.main(command) == 0
    assert json.loads(table.read_text())["deterministic_ratio"] is None
