from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from golden_case import fill
from published_files import KEYS, published_weights, write_published
from torch import Tensor

from easnn.checkpoints import load_checkpoint
from easnn.cli.convert_checkpoint import main

CHECKOUT = Path(__file__).resolve().parents[2]
WORDS = ["data_name", "gen1", *KEYS.split()]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return write_published(tmp_path / "published.pth")


def assert_identical(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert torch.equal(found[name], value), name


def test_there_and_back(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, back, again = (tmp_path / name for name in ("ours.pth", "back.pth", "again.pth"))
    assert main([str(published), str(ours), *WORDS]) == 0
    assert main([str(ours), str(back)]) == 0
    assert main([str(back), str(again), *WORDS]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{ours}: a checkpoint of this framework, to use with -c",
        f"{back}: a checkpoint for the published code",
        f"{again}: a checkpoint of this framework, to use with -c",
    ]
    one, two = load_checkpoint(ours), load_checkpoint(again)
    assert (one["epoch"], one["best_ap"], type(one["best_ap"])) == (30, 0.375, float)
    assert one["experiment"]["keys"]["use_spike"] == "full_spike_v2"
    assert_identical(two["model"], one["model"])
    assert {**one, "model": None, "raw_model": None} == {**two, "model": None, "raw_model": None}

    written = torch.load(back, weights_only=True)
    assert (written["start_epoch"], written["best_ap"]) == (30, 0.375)
    assert_identical(written["model"], published_weights())


def test_golden_weights_come_back_in_their_order(golden: Path, tmp_path: Path) -> None:
    expected = json.loads((golden / "model" / "s_ncaltech_published_full.json").read_text())
    weights = {
        name: torch.from_numpy(fill(name, shape, 1)) for name, shape in expected["state_dict"]
    }
    source, ours, back = (tmp_path / name for name in ("source.pth", "ours.pth", "back.pth"))
    write_published(source, weights)
    assert main(["-n", "e-yolox-s", str(source), str(ours), "window", "0", *KEYS.split()]) == 0
    assert main([str(ours), str(back)]) == 0
    assert_identical(torch.load(back, weights_only=True)["model"], weights)


def test_a_checkpoint_of_a_run(tmp_path: Path, published: Path) -> None:
    """Epochs that are done, not the number of the last, and no optimiser."""
    ours, back = tmp_path / "ours.pth", tmp_path / "back.pth"
    assert main([str(published), str(ours), *WORDS]) == 0
    contents = torch.load(ours, weights_only=True)
    for step, epochs in ((12, 5), (7, 4)):
        torch.save(
            {**contents, "epoch": 4, "step": step, "steps_per_epoch": 12, "best_ap": None}, ours
        )
        assert main([str(ours), str(back)]) == 0
        written = torch.load(back, weights_only=True)
        assert (written["start_epoch"], written["best_ap"]) == (epochs, None)
        assert list(written) == ["start_epoch", "model", "best_ap"]
        back.unlink()


def test_nothing_is_replaced(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there.pth"
    there.write_bytes(b"mine")
    assert main([str(published), str(there), *WORDS]) == 1
    assert (
        capsys.readouterr().err
        == f"error: {there} exists already. Choose another name or remove it.\n"
    )
    assert there.read_bytes() == b"mine"


def test_keys_for_a_checkpoint_that_has_its_own(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, back = tmp_path / "ours.pth", tmp_path / "back.pth"
    assert main([str(published), str(ours), *WORDS]) == 0
    assert main([str(ours), str(back), "T", "3"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: Keys can only be given for a published checkpoint, but {ours} is one of this "
        "framework and contains its experiment. Omit `T 3`."
    )
    assert not back.exists()


def test_keys_are_checked(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = tmp_path / "ours.pth"
    assert main([str(published), str(ours), *WORDS, "Ts", "3"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "error: `Ts` must be 1 or `T` (2), but is 3."
    assert not ours.exists()


def test_a_network_that_the_published_code_does_not_have(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, back = tmp_path / "ours.pth", tmp_path / "back.pth"
    assert main([str(published), str(ours), *WORDS]) == 0
    contents = torch.load(ours, weights_only=True)
    contents["model"]["head.extra"] = torch.zeros(1)
    torch.save(contents, ours)
    assert main([str(ours), str(back)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: The published code has no network with these weights: head.extra is only in one of "
        "them. Weights of a network that an experiment file builds itself cannot be converted."
    )
    assert not back.exists()


def test_the_tool(published: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours.pth"
    done = subprocess.run(
        [sys.executable, "convert_checkpoint.py", str(published), str(ours), *WORDS],
        cwd=CHECKOUT / "tools",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert ours.is_file()
