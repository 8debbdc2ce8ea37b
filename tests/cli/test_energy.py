from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from untrained import untrained

from easnn.cli.energy import main


@pytest.fixture(scope="module")
def checkpoint(raw_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = f"test_size 32,64 T 2 data_dir {raw_dataset} data_num_workers 0"
    return untrained(tmp_path_factory.mktemp("run"), words)


def test_the_report_is_printed_and_lies_beside_the_results(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-c", str(checkpoint), "--samples", "2"]) == 0
    out, err = capsys.readouterr()
    path = checkpoint.parent / "results" / "best_ckpt_val_energy.json"
    assert str(path) in err
    report = json.loads(path.read_text())
    assert (report["frames"], report["split"], report["checkpoint"]) == (2, "val", str(checkpoint))
    assert report["keys"]["test_size"] == [32, 64]
    names = [layer["name"] for layer in report["layers"]]
    assert (names[0], names[-1]) == ("embedding.recurrence.input_conv.0", "head.levels.2.class_out")
    shown = {line.split()[0] for line in out.splitlines() if line.strip()}
    assert {*names, *(layer["name"] for layer in report["neurons"])} <= shown


def test_frames_are_spread_over_the_split_and_no_more_than_it_has(
    checkpoint: Path, raw_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["eval_split", "train", "test_size", "64,64"]
    assert main(["-c", str(checkpoint), *words]) == 0
    report = json.loads((checkpoint.parent / "results" / "best_ckpt_train_energy.json").read_text())
    assert (report["frames"], report["keys"]["test_size"]) == (4, [64, 64])
    shown = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert ["test_size", "[32,", "64]", "[64,", "64]"] in shown


def test_the_test_split_and_options_after_keys(
    checkpoint: Path, raw_dataset: Path, tmp_path: Path
) -> None:
    shutil.copytree(raw_dataset / "val", tmp_path / "test")
    assert main(["-c", str(checkpoint), "data_dir", str(tmp_path), "--test", "--samples", "1"]) == 0
    report = json.loads((checkpoint.parent / "results" / "best_ckpt_test_energy.json").read_text())
    assert (report["frames"], report["split"]) == (1, "test")


def test_a_network_trained_in_another_precision(raw_dataset: Path, tmp_path: Path) -> None:
    words = f"test_size 32,64 T 2 data_dir {raw_dataset} data_num_workers 0 precision fp16"
    assert main(["-c", str(untrained(tmp_path, words)), "--samples", "1"]) == 0


def test_a_fused_network(raw_dataset: Path, tmp_path: Path) -> None:
    """Factors are one convolution then, which sees spikes; the reports lie beside each other."""
    words = (
        f"test_size 32,64 T 2 data_dir {raw_dataset} data_num_workers 0 backbone meta "
        "residual membrane use_spike full_spike"
    )
    checkpoint = untrained(tmp_path, words)
    analog = []
    for option in ([], ["--fuse"]):
        assert main(["-c", str(checkpoint), "--samples", "1", *option]) == 0
        kind = "fused_energy" if option else "energy"
        report = json.loads((tmp_path / "results" / f"best_ckpt_val_{kind}.json").read_text())
        assert report["fused"] is bool(option)
        layers = [x for x in report["layers"] if x["name"].startswith("backbone.")]
        analog.append([layer["name"] for layer in layers if not layer["spikes"]])
    assert analog[1] == ["backbone.stem.conv"]
    assert any(name.endswith(".depthwise") for name in analog[0])


def test_a_checkpoint_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["T", "3"]) == 1
    assert capsys.readouterr().err == "error: Give a checkpoint (-c FILE).\n"


def test_nothing_is_said_of_membranes_where_there_are_none(
    raw_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        f"test_size 32,64 data_dir {raw_dataset} data_num_workers 0 embedding count use_spike False"
    )
    assert main(["-c", str(untrained(tmp_path, words)), "--samples", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Not in the sum: biases, norms, readouts."


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--samples", "0"], "`--samples` must be at least 1, but is 0."),
        (["Ts", "3"], "`Ts` must be 1 or `T` (2), but is 3."),
        (["data_dir", "nowhere"], "nowhere is not a folder."),
    ],
)
def test_bad_input_is_one_line_and_exit_code_1(
    checkpoint: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-c", str(checkpoint), *words]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {message}")
