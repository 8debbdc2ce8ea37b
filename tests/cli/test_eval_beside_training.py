"""Evaluations write to run directories while trainings begin in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_runs import EXPERIMENT, words, write_dataset

from easnn.cli import eval as evaluation
from easnn.cli import train
from easnn.cli.tasks import eval as task
from easnn.engine import RunOwner


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data", 0)
    assert train.main(words(tmp_path, tmp_path / "out", "max_epoch 1")) == 0
    return tmp_path / "out" / "run"


def test_a_result_is_not_put_beside_the_files_of_another_run(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def while_a_training_begins(*args: Any, **options: Any) -> Callable[..., Any]:
        evaluate = evaluation_of(*args, **options)

        def run_evaluation(model: Any) -> Any:
            with RunOwner(run) as owner:
                owner.start(resume=False)
            return evaluate(model)

        return run_evaluation

    evaluation_of = task.evaluation_of
    monkeypatch.setattr(task, "evaluation_of", while_a_training_begins)
    command = ["-f", str(EXPERIMENT), "-c", str(run / "best_ckpt.pth")]
    command += ["data_dir", str(run.parents[1] / "data")]
    capsys.readouterr()
    assert evaluation.main(command) == 1
    said = capsys.readouterr()
    assert said.out.startswith("protocol")
    assert said.err.splitlines()[-1] == (
        f"error: The result above is not written to {run / 'results'}: a training that began in "
        "the meantime has moved the evaluated run to a folder `earlier-N` beside it. Evaluate its "
        "checkpoint there."
    )
    assert list((run / "results").iterdir()) == []
    assert (run / "earlier-1" / "best_ckpt.pth").is_file()


def test_a_training_moves_the_results_of_evaluations_with_its_name(run: Path) -> None:
    folder = run.parents[1]
    other = folder / "out" / "other"
    command = ["-f", str(EXPERIMENT), "-c", str(run / "best_ckpt.pth"), "-expn", "other"]
    command += ["output_dir", str(folder / "out"), "data_dir", str(folder / "data")]
    assert evaluation.main(command) == 0
    assert train.main(words(folder, folder / "out", "max_epoch 1 exp_name other")) == 0
    [moved] = (other / "earlier-1" / "results").iterdir()
    assert json.loads(moved.read_text())["checkpoint"] == str(run / "best_ckpt.pth")


def test_results_are_not_written_to_what_is_no_run(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["-f", str(EXPERIMENT), "-c", str(run / "best_ckpt.pth"), "-expn", "data"]
    data = run.parents[1] / "data"
    command += ["output_dir", str(data.parent), "data_dir", str(data)]
    assert evaluation.main(command) == 1
    assert f"error: {data} cannot be the directory of this run: it holds train, val, which" in (
        capsys.readouterr().err
    )
    assert sorted(path.name for path in data.iterdir()) == ["train", "val"]
