from __future__ import annotations

import json
from pathlib import Path

import pytest

from easnn.cli import demo, make_synthetic, quickstart, train
from easnn.cli import eval as evaluation
from easnn.cli.arguments import parse
from easnn.cli.main import COMMANDS
from easnn.exp import get_exp

PARSERS = {
    "make-synthetic": make_synthetic.make_parser,
    "train": train.make_parser,
    "eval": evaluation.make_parser,
    "demo": demo.make_parser,
}


@pytest.mark.parametrize("step", quickstart.STEPS, ids=lambda step: step.title)
def test_every_step_is_a_command_that_exists(step: quickstart.Step) -> None:
    command, *arguments = step.command
    assert command in COMMANDS
    parser = PARSERS[command]()
    if command in ("train", "eval"):
        parse(parser, arguments)
    else:
        parser.parse_args(arguments)


def test_the_steps_fit_together() -> None:
    experiment = get_exp(exp_name="e-yolox-demo")
    experiment.validate()
    assert experiment.data_dir == quickstart.DATASET
    assert experiment.eval_initial
    assert Path(experiment.output_dir) / str(experiment.exp_name) == Path(quickstart.RUN)


def test_the_summary_compares_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for (ap50, ap), name in zip(
        [(None, None), (0.71, 0.34)], quickstart.RESULTS.values(), strict=True
    ):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"ap50": ap50, "ap": ap, "counts": {"frames": 200}}))
    table = quickstart.summary({"Train": 61.4, "Total": 62.0})
    assert table.splitlines()[:4] == [
        "test split, 200 frames    AP50    AP 50:95",
        "------------------------  ------  ----------",
        "before training           0.000   0.000",
        "after training            0.710   0.340",
    ]
    assert "Train  61 s" in table


def test_every_step_is_printed_and_the_first_that_fails_ends_the_demo_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    steps = [
        quickstart.Step("Succeed", ("--version",)),
        quickstart.Step("Fail", ("no-such-command", "a b")),
        quickstart.Step("Never", ("--version",)),
    ]
    monkeypatch.setattr(quickstart, "STEPS", steps)
    assert quickstart.main([]) == 2
    lines = capfd.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("$")] == [
        "$ easnn --version",
        "$ easnn no-such-command 'a b'",
    ]
    assert sum(line.startswith("easnn 0.") for line in lines) == 1
