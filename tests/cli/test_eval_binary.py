"""`easnn eval --binary`: integer neurons in slots of 0 and 1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from untrained import untrained

from easnn.cli import energy
from easnn.cli import eval as evaluation


def checkpoint(folder: Path, dataset: Path, words: str) -> Path:
    keys = f"test_size 32,64 data_dir {dataset} data_num_workers 0 test_conf 0.001"
    return untrained(folder, f"{keys} {words}")


def test_the_result_is_that_without(
    raw_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = checkpoint(tmp_path, raw_dataset, "neuron ilif spike_levels 3 T 2")
    results = []
    for options in ([], ["--binary"], ["--binary", "--fuse"]):
        assert evaluation.main(["-c", str(path), *options]) == 0
        results.append(json.loads((tmp_path / "results" / "best_ckpt_val_coco.json").read_text()))
    assert [(result.pop("binary"), result.pop("fused")) for result in results] == [
        (False, False),
        (True, False),
        (True, True),
    ]
    assert results[0]["keys"]["neuron"] == "ilif"
    assert results[1] == results[0]
    assert "no memory" not in capsys.readouterr().err


def test_one_time_step_is_named_for_what_it_is(
    raw_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = checkpoint(tmp_path, raw_dataset, "neuron ilif T 1")
    note = "With `T` 1, integer neurons have no memory: they are quantisers with 5 levels, 0 to 4."
    assert evaluation.main(["-c", str(path), "--binary"]) == 0
    assert note in capsys.readouterr().err
    for main, options in ((energy.main, ["--samples", "1"]), (evaluation.main, ["--summary"])):
        assert main(["-c", str(path), *options]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == note


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (
            "T 2",
            [],
            "Binary slots (`--binary`) need integer neurons, but those of this network (`neuron` "
            "plif) are binary already.",
        ),
        (
            "use_spike False",
            [],
            "Binary slots (`--binary`) need integer neurons, but this network does not spike "
            "(`use_spike` False).",
        ),
        (
            "neuron ilif T 2",
            ["--runtime", "onnx"],
            "`--binary` needs `--runtime torch`, but it is onnx: how many slots are filled depends "
            "on the values.",
        ),
    ],
)
def test_where_it_does_not_fit(
    words: str,
    options: list[str],
    message: str,
    raw_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = checkpoint(tmp_path, raw_dataset, words)
    assert evaluation.main(["-c", str(path), "--binary", *options]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {message}"
