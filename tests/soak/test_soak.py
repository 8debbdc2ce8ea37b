"""Few kills of a training, and of a program that is faster."""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import sys
from collections import Counter
from pathlib import Path

import counting_program
import pytest

from easnn.cli import soak as command
from easnn.cli.arguments import exit_code_of
from easnn.cli.tasks.soak import PROGRAM, soak
from easnn.soak import KINDS, Program, Soak, draw_kills

SEED = 0
COUNTING = Program(
    counting_program.main, (sys.executable, counting_program.__file__), PROGRAM.imports
)
FORGETFUL = Program(
    counting_program.forgetful_main, (sys.executable, counting_program.__file__), PROGRAM.imports
)


def options(folder: Path, *words: str) -> argparse.Namespace:
    return command.make_parser().parse_args(["--keep", str(folder), *words])


def test_a_training_that_is_killed_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    folder = tmp_path / "soak"
    report = Soak(PROGRAM, folder, kills={1: 3}, seed=SEED).run()
    assert [problem for run in report.runs for problem in run.problems] == []
    assert len(report.kills) == 3
    assert all(kill.resumed and not kill.lost for kill in report.kills)
    planned = list(itertools.islice(draw_kills(SEED, 1), 3))
    assert [kill.kill for kill in report.kills] == planned
    assert list(folder.iterdir()) == []


def test_kills_are_counted_and_nothing_of_them_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "soak"
    soak(options(folder, "--kills", "4", "--processes", "1"), COUNTING)
    assert [path.name for path in folder.iterdir()] == ["soak.json"]
    found = json.loads((folder / "soak.json").read_text())
    missed = sum(run["missed"] for run in found["runs"])
    assert (found["kills"] + missed, found["lost"], found["seed"]) == (4, 0, 0)
    assert found["kills"] == sum(len(run["kills"]) for run in found["runs"])
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["processes", "killed", "in", "kills", "resumed", "lost", "minutes"]
    assert table[-1].split()[:-1] == ["all", str(found["kills"]), str(found["kills"]), "0"]


def test_what_loses_a_bit_is_found_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "soak"
    words = options(folder, "--kills", "2", "--processes", "1")
    assert exit_code_of(lambda: soak(words, FORGETFUL)) == 1
    found = json.loads((folder / "soak.json").read_text())
    lost = [run for run in found["runs"] if run["problems"]]
    assert lost[0]["problems"][0].startswith("best_ckpt.pth: model.total: 1 of 1 numbers differ")
    assert found["lost"] == sum(len(run["kills"]) for run in lost)
    assert (Path(lost[0]["kept"]) / "run" / "best_ckpt.pth").is_file()
    assert (folder / "processes-1" / "reference" / "run" / "best_ckpt.pth").is_file()
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: Something was lost in {len(lost)} of {len(found['runs'])} trainings, which are "
        f"kept in {folder}. The first: {lost[0]['problems'][0]}"
    )


def test_every_kind_of_kill_comes_as_often_as_the_others() -> None:
    for processes in (1, 2):
        kinds = KINDS[processes > 1]
        kills = itertools.islice(draw_kills(7, processes), 3 * len(kinds))
        assert {*Counter(kill.kind for kill in kills).values()} == {3}
        assert len({*kinds}) == len(kinds)
    assert {kind.victim for kind in KINDS[True]} == {"all", "main", "rank", "worker"}
    assert {kind.number for kind in KINDS[False]} == {
        signal.SIGKILL,
        signal.SIGTERM,
        signal.SIGUSR1,
    }


def test_the_seed_draws_the_kills() -> None:
    def some(seed: int, processes: int) -> list[object]:
        return list(itertools.islice(draw_kills(seed, processes), 20))

    assert some(1, 1) == some(1, 1)
    assert some(1, 1) != some(2, 1)


def test_a_training_that_fails_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = Program(counting_program.main, (sys.executable, "-c", "raise SystemExit('no')"), ())
    assert exit_code_of(lambda: soak(options(tmp_path / "soak"), program)) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: A training that was not killed ended with exit code 1 instead of going on: no"
    )


def test_a_folder_with_something_in_it_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").touch()
    assert command.main(["--keep", str(tmp_path)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {tmp_path} must be an empty folder or none (--keep), but is not."
    )


def test_fewer_kills_than_kinds_of_trainings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--keep", str(tmp_path), "--kills", "1"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: `--kills` must be at least 2, the number of different `--processes`, but is 1."
    )


@pytest.mark.parametrize("text", ["0", "1,1", "5", "one", "", "1,"])
def test_numbers_of_processes_that_make_no_sense(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as error:
        command.process_counts(text)
    assert str(error.value) == f"must be different numbers from 1 to 4, like 1,2, but is {text!r}"
