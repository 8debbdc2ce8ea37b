from __future__ import annotations

import json
import sys
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from easnn.engine import JsonLinesWriter, RunDirectory, build_writers, check_writer
from easnn.utils.errors import ConfigError, OutputError


def test_files_of_a_run_are_named(tmp_path):
    run = RunDirectory(tmp_path)
    assert (run.latest.name, run.best.name) == ("latest_ckpt.pth", "best_ckpt.pth")
    assert run.history(3).name == "epoch_3_ckpt.pth"
    assert run.result(3) == tmp_path / "results" / "epoch_3.json"


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_json_lines(tmp_path):
    writer = JsonLinesWriter(tmp_path / "metrics.jsonl")
    writer.write("train", 10, {"total_loss": 2.5, "grad_norm": float("inf")})
    writer.write("eval", 20, {"ap": 0.25})
    assert records(tmp_path / "metrics.jsonl") == [
        {"kind": "train", "iteration": 10, "total_loss": 2.5, "grad_norm": None},
        {"kind": "eval", "iteration": 20, "ap": 0.25},
    ]


def test_json_lines_continue_after_the_last_saved_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    writer = JsonLinesWriter(path)
    for iteration in (10, 20, 30):
        writer.write("train", iteration, {})
    with path.open("a") as file:
        file.write('{"kind": "tr')
    writer.continue_from(20, evaluates=False)
    writer.write("train", 21, {})
    assert [record["iteration"] for record in records(path)] == [10, 20, 21]


def test_an_evaluation_that_is_repeated_is_not_there_twice(tmp_path):
    path = tmp_path / "metrics.jsonl"
    writer = JsonLinesWriter(path)
    writer.write("train", 20, {})
    writer.write("eval", 20, {})
    writer.continue_from(20, evaluates=False)
    assert [record["kind"] for record in records(path)] == ["train", "eval"]
    writer.continue_from(20, evaluates=True)
    assert [record["kind"] for record in records(path)] == ["train"]


def test_json_lines_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError) as error:
        JsonLinesWriter(tmp_path / "no" / "metrics.jsonl").write("train", 1, {})
    path = tmp_path / "no" / "metrics.jsonl"
    assert str(error.value) == f"Cannot write {path}: No such file or directory. Free some space."


def test_tensorboard_gets_every_number(tmp_path):
    event_file = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    run = RunDirectory(tmp_path)
    writers = build_writers("tensorboard", run, experiment={})
    for writer in writers:
        writer.write("train", 5, {"total_loss": 1.5})
        writer.continue_from(5, evaluates=False)
        writer.write("eval", 6, {"ap": 0.5})
        writer.close()
    seen = {
        (value.tag, event.step, value.tensor.float_val[0])
        for file in sorted(run.tensorboard.iterdir())
        for event in event_file.EventFileLoader(str(file)).Load()
        for value in event.summary.value
    }
    assert seen == {("train/total_loss", 5, 1.5), ("eval/ap", 6, 0.5)}
    assert len(records(run.metrics)) == 2


def test_tensorboard_gets_every_picture(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = RunDirectory(tmp_path)
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    for writer in build_writers("tensorboard", run, experiment={}):
        writer.write_pictures(7, {"sampler/a_1ms": picture})
        writer.close()
    events = accumulator.EventAccumulator(str(run.tensorboard)).Reload()
    [seen] = events.Images("sampler/a_1ms")
    assert seen.step == 7
    with Image.open(BytesIO(seen.encoded_image_string)) as image:
        np.testing.assert_array_equal(np.asarray(image), picture)
    assert not run.metrics.exists(), "which holds numbers"


def test_wandb_gets_numbers_and_pictures(tmp_path, monkeypatch):
    logged = []

    class FakeWandb:
        """Stands for the package, which needs an account."""

        Image = tuple
        Error = WandbError

        @staticmethod
        def init(**about):
            assert about["name"] == tmp_path.name
            return SimpleNamespace(
                log=lambda values, step: logged.append((step, values)), finish=lambda: None
            )

    monkeypatch.setitem(sys.modules, "wandb", FakeWandb)
    monkeypatch.setattr("easnn.engine.writers.find_spec", lambda _name: object())
    [_, writer] = build_writers("wandb", RunDirectory(tmp_path), experiment={})
    writer.write("eval", 3, {"ap": 0.5})
    writer.write_pictures(3, {"sampler/a_1ms": "pixels"})
    writer.close()
    assert logged == [(3, {"eval/ap": 0.5}), (3, {"sampler/a_1ms": tuple("pixels")})]


class WandbError(Exception):
    """Stands for wandb.Error."""


@pytest.mark.parametrize("logged_in", [True, False])
def test_wandb_is_asked_for_a_login_before_a_run(logged_in, monkeypatch):
    """It returns False in its mode `offline`, which needs none."""
    asked = []
    fake = SimpleNamespace(Error=WandbError, login=lambda: asked.append(0) or logged_in)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr("easnn.engine.writers.find_spec", lambda _name: object())
    check_writer("wandb")
    assert asked == [0]
    monkeypatch.setattr("easnn.engine.writers.is_main", lambda: False)
    check_writer("wandb")
    assert asked == [0]


def refuse(**_about):
    raise WandbError("No API key configured. Use `wandb login` to log in.")


@pytest.mark.parametrize("when", ["login", "init"])
def test_wandb_without_a_login(tmp_path, monkeypatch, when):
    fake = SimpleNamespace(Error=WandbError, Image=tuple, login=refuse, init=refuse)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr("easnn.engine.writers.find_spec", lambda _name: object())
    with pytest.raises(ConfigError) as error:
        if when == "login":
            check_writer("wandb")
        else:
            build_writers("wandb", RunDirectory(tmp_path), experiment={})
    assert str(error.value) == (
        "`--logger wandb` cannot be used: No API key configured. Use `wandb login` to log in. Run "
        "`wandb login`, keep the numbers on this machine (environment variable "
        "WANDB_MODE=offline), or use `--logger tensorboard`."
    )
    assert list(tmp_path.iterdir()) == []


def test_unknown_writer(tmp_path):
    with pytest.raises(ConfigError) as error:
        build_writers("tensorbord", RunDirectory(tmp_path), experiment={})
    assert str(error.value) == (
        "`--logger` must be one of tensorboard, wandb, but is tensorbord. Did you mean "
        "`tensorboard`?"
    )


def test_wandb_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr("easnn.engine.writers.find_spec", lambda _name: None)
    with pytest.raises(ConfigError) as error:
        build_writers("wandb", RunDirectory(tmp_path), experiment={})
    assert str(error.value) == (
        "`--logger wandb` needs the package wandb: `pip install wandb`, or use `--logger "
        "tensorboard`."
    )
