"""Evaluation, training and conversion of files that the published code wrote."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from published_files import KEYS, published_weights, write_published

from easnn.cli import convert_checkpoint as convert
from easnn.cli import demo, train
from easnn.cli import eval as evaluation

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return write_published(tmp_path / "published.pth")


def data_words(dataset: Path) -> list[str]:
    pairs = f"data_name gen1 data_dir {dataset} test_size 32,64 data_num_workers 0 test_conf 0.0001"
    return pairs.split()


def error_line(capsys: Capture) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def test_an_evaluation_takes_from_the_weights_what_they_tell(
    published: Path, raw_dataset: Path, capsys: Capture
) -> None:
    assert evaluation.main(["-c", str(published), *data_words(raw_dataset), *KEYS.split()]) == 0
    shown = [line.split(maxsplit=2) for line in capsys.readouterr().err.splitlines()]
    for row in (
        ["num_classes", "2", "the weights"],
        ["width", "0.125", "the weights"],
        ["use_spike", "full_spike_v2", "the weights"],
        ["embedding_ksize", "3", "the weights"],
        ["Ts", "1", "its default"],
        ["window", "-200", "its default"],
    ):
        assert row in shown
    result = json.loads((published.parent / "results" / "published_val_coco.json").read_text())
    assert result["keys"]["embedding"] == "arsnn"
    assert result["keys"]["T"] == 2


def test_a_converted_file_gives_the_same_result_by_itself(
    published: Path, raw_dataset: Path, tmp_path: Path
) -> None:
    words = [*data_words(raw_dataset), *KEYS.split()]
    ours = tmp_path / "ours.pth"
    assert convert.main([str(published), str(ours), *words]) == 0
    assert evaluation.main(["-c", str(published), *words]) == 0
    assert evaluation.main(["-c", str(ours)]) == 0
    one, two = (
        json.loads((tmp_path / "results" / f"{name}_val_coco.json").read_text())
        for name in ("published", "ours")
    )
    assert one.pop("checkpoint") != two.pop("checkpoint")
    one["keys"].pop("seed"), two["keys"].pop("seed")
    assert one == two


def test_what_the_weights_do_not_tell_is_asked_for(published: Path, capsys: Capture) -> None:
    for tool in (evaluation, train):
        assert tool.main(["-c", str(published), "Tm", "4", "write_zero", "True"]) == 1
        assert error_line(capsys) == (
            f"error: {published} was written by the published code, which keeps no keys, and its "
            "weights do not tell `data_name`, `T`, `thresh`, `readout`. Give what it was trained "
            "with; the published commands for gen1 have `data_name gen1 T 3 thresh 1 readout sum`."
        )


def test_keys_that_contradict_the_weights(published: Path, capsys: Capture) -> None:
    words = ["-n", "e-yolox-m", "use_spike", "True", "embedding", "arsnn", "embedding_ksize", "5"]
    assert evaluation.main(["-c", str(published), *words]) == 1
    assert error_line(capsys) == (
        f"error: The weights of {published} need `depth` 0.33, not 0.67; `width` 0.125, not 0.75; "
        "`use_spike` full_spike_v2, not True; `embedding_ksize` 3, not 5. Leave these keys out, "
        "and give an experiment (-n or -f) that does not set them otherwise."
    )


def test_weights_to_start_from(
    published: Path, raw_dataset: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = [
        *data_words(raw_dataset),
        *KEYS.split(),
        "max_epoch",
        "1",
        "input_size",
        "32,64",
        "seed",
        "1",
    ]
    words += ["output_dir", str(tmp_path), "pictures", "False"]
    assert train.main(["-c", str(published), "-b", "2", *words, "exp_name", "alike"]) == 0
    assert f"All weights are initialized from {published}" in capsys.readouterr().err

    other = ["-n", "e-yolox-demo", *words, "exp_name", "other", "width", "0.125"]
    assert train.main(["-c", str(published), "-b", "2", *other]) == 0
    err = capsys.readouterr().err
    assert f"Not all weights of {published} fit this model" in err
    assert "unknown to the model" in err


def test_there_is_no_run_to_resume(published: Path, raw_dataset: Path, capsys: Capture) -> None:
    words = [*data_words(raw_dataset), *KEYS.split()]
    ours = published.with_name("ours.pth")
    assert convert.main([str(published), str(ours), *words]) == 0
    for path in (published, ours):
        assert train.main(["-c", str(path), "--resume", *words]) == 1
        assert error_line(capsys) == (
            f"error: {path} cannot be resumed: it comes from the published code, whose optimizer "
            "state has another order. Leave out --resume to start a new run from its weights."
        )


def test_a_command_without_keys_asks_to_convert(published: Path, capsys: Capture) -> None:
    assert demo.main(["-c", str(published), "recording_td.dat"]) == 1
    assert error_line(capsys) == (
        f"error: {published} was written by the published code and does not carry its experiment. "
        f"Convert it first: easnn convert-checkpoint {published} NEW_FILE key value …"
    )


class Bomb:
    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("zipped", [True, False])
def test_executable_content_is_refused_and_not_run(
    tmp_path: Path, zipped: bool, capsys: Capture
) -> None:
    path, target = tmp_path / "bomb.pth", tmp_path / "made_by_the_bomb"
    contents = {"model": published_weights(), "best_ap": Bomb(str(target))}
    torch.save(contents, path, _use_new_zipfile_serialization=zipped)
    for command in (evaluation.main, train.main):
        assert command(["-c", str(path), *KEYS.split()]) == 1
        assert error_line(capsys) == (
            f"error: {path} contains objects other than tensors and plain values, and reading them "
            "could execute code; it was not read. Save its weights as a plain state dict with the "
            "software that wrote it."
        )
    assert not target.exists()


RESNET = {
    "conv1.weight": torch.zeros(64, 3, 7, 7),
    "bn1.weight": torch.zeros(64),
    "fc.bias": torch.zeros(9),
}
NO_DETECTOR = (
    "error: {path} has no `format`, so it is no checkpoint of this framework, and its weights are "
    "not those of a published detector: "
)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (
            RESNET,
            NO_DETECTOR
            + "it has no stem (backbone.backbone.stem.…); its first names are conv1.weight, "
            "bn1.weight, fc.bias.",
        ),
        (
            {"model": dict(list(published_weights().items())[:-3])},
            NO_DETECTOR
            + "missing: head.stems.2.bn.running_var; missing: head.stems.2.bn.num_batches_tracked; "
            "missing: head.stems.2.act.w.",
        ),
        (
            {"model": dict(list(published_weights().items())[:30])},
            NO_DETECTOR + "it has no class output (head.cls_preds.0.…); its first names are "
            "embedding.gate_conv.0.weight, embedding.gate_conv.0.bias, "
            "embedding.gate_conv.2.weight.",
        ),
        (
            {"model": {}, "epoch": 3},
            "error: {path} is neither a checkpoint of this framework (it has no `format`) nor one "
            "of the published code (it has no state dict, neither under `model` nor by itself).",
        ),
        (
            [1, 2, 3],
            "error: {path} is neither a checkpoint of this framework (it has no `format`) nor one "
            "of the published code (it has no state dict, neither under `model` nor by itself).",
        ),
    ],
)
def test_files_of_something_else(
    tmp_path: Path, contents: object, message: str, capsys: Capture
) -> None:
    path = tmp_path / "other.pth"
    torch.save(contents, path)
    for command in (
        lambda: evaluation.main(["-c", str(path), *KEYS.split()]),
        lambda: convert.main([str(path), str(tmp_path / "out.pth"), *KEYS.split()]),
    ):
        assert command() == 1
        assert error_line(capsys) == message.format(path=path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_file(published: Path, capsys: Capture) -> None:
    published.write_bytes(published.read_bytes()[:100_000])
    assert evaluation.main(["-c", str(published), *KEYS.split()]) == 1
    assert error_line(capsys) == (
        f"error: {published} (100000 bytes) is truncated, damaged, or not a checkpoint. Copy it "
        "again, or use another one."
    )
