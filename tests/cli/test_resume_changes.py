"""Resuming with other settings: what is refused, listed, kept and begun anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from small_runs import EXPERIMENT, words, write_dataset

from easnn.checkpoints import load_checkpoint, save_checkpoint
from easnn.cli import train


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, and with a run of two epochs in ``out/run``."""
    folder = tmp_path_factory.mktemp("finished")
    write_dataset(folder / "data", 0)
    assert train.main(words(folder, folder / "out", "save_history_ckpt True")) == 0
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "copy")


def resume(
    folder: Path, keys: str, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, str]:
    """Resume the run; return the exit code and what was said."""
    capsys.readouterr()
    code = train.main([*words(folder, folder / "out", keys), *options, "--resume"])
    return code, capsys.readouterr().err


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def lines_of(run: Path) -> list[tuple[str, int, int]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["kind"], line["epoch"], line["iteration"]) for line in lines]


def test_another_batch_size_is_listed_and_keeps_what_was_recorded(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder / "out" / "run"
    before = lines_of(run)
    assert before == [("train", 1, 2), ("eval", 1, 2), ("train", 2, 4), ("eval", 2, 4)]
    code, said = resume(folder, "max_epoch 3", capsys, "-b", "4")
    assert code == 0, said
    listed = [line.split() for line in said.splitlines()]
    assert ["-b", "2", "4", "takes", "effect"] in listed
    assert ["max_epoch", "2", "3", "takes", "effect"] in listed
    first_step = next(i for i, words in enumerate(listed) if "epoch 3/3 step" in " ".join(words))
    assert listed.index(["-b", "2", "4", "takes", "effect"]) < first_step
    assert lines_of(run) == [*before, ("train", 3, 5), ("eval", 3, 5)]
    latest = load_checkpoint(run / "latest_ckpt.pth")
    assert (latest["steps_done"], latest["steps_per_epoch"]) == (5, 1)
    options = {"batch_size": 4, "processes": 1, "deterministic": False}
    assert latest["options"] == {**options, "threads": torch.get_num_threads()}
    [change] = latest["changes"]
    assert (change["epoch"], change["step"]) == (2, 0)
    assert change["settings"].items() >= {"max_epoch": ["2", "3"], "-b": ["2", "4"]}.items()
    code, _ = resume(folder, "max_epoch 4", capsys)
    assert code == 0
    assert lines_of(run)[-4:] == [
        ("train", 3, 5),
        ("eval", 3, 5),
        ("train", 4, 7),
        ("eval", 4, 7),
    ]


def test_another_text_of_the_experiment_file_is_listed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = folder / "changed.py"
    changed.write_text(EXPERIMENT.read_text() + "\n# another line\n")
    capsys.readouterr()
    command = words(folder, folder / "out", "max_epoch 3")
    command[command.index(str(EXPERIMENT))] = str(changed)
    assert train.main([*command, "--resume"]) == 0
    said = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert ["experiment", "file", str(EXPERIMENT), str(changed), "takes", "effect"] in said


def test_every_refused_key_is_named_and_nothing_is_touched(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_in(folder / "out")
    latest = folder / "out" / "run" / "latest_ckpt.pth"
    code, said = resume(folder, "seed 6 optimizer SGD max_epoch 3", capsys)
    assert code == 1
    assert said.splitlines()[-1] == (
        f"error: `seed` must stay 5 when {latest} is resumed, because the order of the samples "
        f"follows from it, but is 6. `optimizer` must stay ADAM when {latest} is resumed, because "
        "the state of the optimiser belongs to it, but is SGD. Set it as it was, or start a new "
        "run from these weights (-c without --resume)."
    )
    assert files_in(folder / "out") == before


TO_OTHER = "The file is damaged: resume from another checkpoint."


@pytest.mark.parametrize(
    ("entry", "value", "sentence"),
    [
        ("epoch", "x", "`epoch` of {path} must be a whole number of 0 to 9007199254740991, but is"),
        ("epoch", -5, "`epoch` of {path} must be a whole number of 0 to 9007199254740991, but is"),
        (
            "step",
            10**9,
            "`step` of {path} must be at most `steps_per_epoch` (2), but is 1000000000",
        ),
        ("steps_done", 1.5, "`steps_done` of {path} must be a whole number of 0 to"),
        (
            "rng",
            None,
            "`rng` of {path} must be a list with the states of each process, but is None",
        ),
        ("rng", [{}], "`rng` of {path} cannot be that of a run (KeyError: 'python')"),
        ("best_ap", "good", "`best_ap` of {path} must be None or of type float, but is 'good'"),
        ("best_ap", float("inf"), "`best_ap` of {path} must be a finite number, but is inf"),
        ("best_counts", [3], "`best_counts` of {path} must be None or two whole numbers, but is"),
        ("options", None, "`options` of {path} must be a dictionary, but is None"),
        ("changes", "x", "`changes` of {path} must be a list of dictionaries, but is 'x'"),
        ("optimizer", 3, "`optimizer` of {path} must be a dictionary, but is 3"),
        (
            "optimizer",
            {},
            "`optimizer` of {path} cannot be that of a run (KeyError: 'param_groups')",
        ),
    ],
)
def test_entries_that_cannot_be_those_of_a_run(
    folder: Path, capsys: pytest.CaptureFixture[str], entry: str, value: object, sentence: str
) -> None:
    latest = folder / "out" / "run" / "latest_ckpt.pth"
    save_checkpoint(latest, {**load_checkpoint(latest), entry: value})
    before = files_in(folder / "out")
    code, said = resume(folder, "max_epoch 3", capsys)
    last = said.splitlines()[-1]
    assert code == 1, said
    assert last.startswith(f"error: {sentence.format(path=latest)}")
    assert last.endswith(TO_OTHER)
    assert files_in(folder / "out") == before


def test_moments_of_another_shape(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    latest = folder / "out" / "run" / "latest_ckpt.pth"
    contents = load_checkpoint(latest)
    moments = contents["optimizer"]["state"][0]
    moments["exp_avg"] = torch.zeros(3, 3, 3)
    save_checkpoint(latest, contents)
    code, said = resume(folder, "max_epoch 3", capsys)
    assert (code, said.splitlines()[-1]) == (
        1,
        f"error: `optimizer` of {latest} cannot be that of a run (ValueError: parameter 0 has "
        f"moments of another shape). {TO_OTHER}",
    )


def test_a_key_of_an_experiment_file_that_does_not_declare_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = folder / "own.py"
    text = EXPERIMENT.read_text().replace("import EventExp", "import HARMLESS, EventExp, key")
    own.write_text(
        text.replace(
            "class Exp(EventExp):\n",
            "class Exp(EventExp):\n    sheep: int = key(1, 'how many')\n"
            "    goats: int = key(1, 'how many', on_resume=HARMLESS)\n",
        )
    )
    command = words(folder, folder / "out", "exp_name own max_epoch 1")
    command[command.index(str(EXPERIMENT))] = str(own)
    assert train.main(command) == 0
    capsys.readouterr()
    assert train.main([*command, "--resume", "goats", "2"]) == 0
    assert ["goats", "1", "2", "harmless"] in [
        line.split() for line in capsys.readouterr().err.splitlines()
    ]
    assert train.main([*command, "--resume", "sheep", "2"]) == 1
    latest = folder / "out" / "own" / "latest_ckpt.pth"
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: `sheep` must stay 1 when {latest} is resumed, because its declaration does not "
        "say that it may (`on_resume`), but is 2. Set it as it was, or start a new run from these "
        "weights (-c without --resume)."
    )


def test_a_checkpoint_that_does_not_fit_moves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latest = folder / "out" / "run" / "latest_ckpt.pth"
    other = folder / "other.pth"
    save_checkpoint(other, {**load_checkpoint(latest), "epoch": 1, "step": 1})
    before = files_in(folder / "out")
    code, said = resume(folder, "", capsys, "-c", str(other), "-b", "4")
    assert code == 1
    assert said.splitlines()[-1] == (
        f"error: {other} stopped at step 1 of an epoch of 2 steps, but an epoch now has 1. Resume "
        "with the same dataset, batch size (-b) and `accumulate`."
    )
    assert files_in(folder / "out") == before


@pytest.mark.parametrize(
    "options", [["-c", "epoch_1_ckpt.pth"], ["-e", "1"]], ids=["another checkpoint", "-e"]
)
def test_what_was_recorded_of_finished_epochs_is_kept(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    run = folder / "out" / "run"
    before = files_in(run)
    options = [str(run / word) if word.endswith(".pth") else word for word in options]
    code, said = resume(folder, "", capsys, *options)
    assert code == 0, said
    moved = files_in(run / "earlier-1")
    del before["owner.json"], moved["owner.json"], before[".run.lock"]
    assert moved == before
    assert lines_of(run) == [("train", 2, 4), ("eval", 2, 4)]
    assert "is not there. The best starts anew." in said
    best = load_checkpoint(run / "best_ckpt.pth")
    assert best["best_epoch"] == 2


def test_the_best_ap_of_other_data_is_not_compared(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder / "out" / "run"
    former = (run / "best_ckpt.pth").read_bytes()
    best = load_checkpoint(run / "best_ckpt.pth")
    latest = load_checkpoint(run / "latest_ckpt.pth")
    assert latest["best_counts"] == [4, 8]
    save_checkpoint(run / "latest_ckpt.pth", {**latest, "best_counts": [4, 9], "best_ap": 0.99})
    code, said = resume(folder, "max_epoch 3", capsys)
    assert code == 0
    kept = run / f"former_best_epoch_{best['best_epoch']}_ckpt.pth"
    assert (
        f"The best AP so far (0.9900, after epoch {best['best_epoch']}) is not comparable: 4 "
        "frames and 9 boxes were evaluated, and are 4 and 8. The best starts anew. Its checkpoint "
        f"is {kept}."
    ) in said
    assert kept.read_bytes() == former
    assert load_checkpoint(run / "best_ckpt.pth")["best_epoch"] == 3


def test_the_best_ap_of_another_split_is_not_compared(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder / "out" / "run"
    best = load_checkpoint(run / "best_ckpt.pth")
    code, said = resume(folder, "max_epoch 3 eval_split train", capsys)
    assert code == 0
    assert (
        f"The best AP so far ({best['best_ap']:.4f}, after epoch {best['best_epoch']}) is not "
        "comparable: `eval_split` was val and is train. The best starts anew."
    ) in said
    assert load_checkpoint(run / "latest_ckpt.pth")["best_epoch"] == 3


def test_a_checkpoint_of_an_earlier_version_can_be_resumed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "out" / "run" / "latest_ckpt.pth"
    latest = load_checkpoint(path)
    for name in ("options", "changes", "steps_done", "best_counts"):
        del latest[name]
    del latest["experiment"]["digest"]
    del latest["experiment"]["keys"]["precision"]
    save_checkpoint(path, latest)
    code, said = resume(folder, "max_epoch 3 precision bf16", capsys, "-b", "4")
    assert code == 0, said
    listed = [line.split() for line in said.splitlines()]
    assert ["precision", "exact", "bf16", "takes", "effect"] in listed
    assert torch.load(path, weights_only=True)["steps_done"] == 5
