"""What the operating system refuses ends a command with one sentence that names the path."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from easnn.cli.arguments import exit_code_of
from easnn.cli.main import main

PROGRAM = """
import contextlib, io, json, sys
from easnn.cli.main import main
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(words)
    print(json.dumps([code, said.getvalue().splitlines()[-1]]))
"""
TO_READ = "error: Cannot use {}: Permission denied. Change its permissions, or give another path."


def obey_permissions() -> None:
    """Let root obey the permissions of files in the program that starts next."""
    if os.geteuid() == 0:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """Return a path in a folder that nobody may enter."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    return folder / "file"


def test_a_folder_without_permissions(closed: Path, tmp_path: Path) -> None:
    path = str(closed)
    data = ["data_name", "gen1", "num_classes", "2", "data_dir", path]
    expected = {
        "train -n e-yolox-demo -b 2": (data, TO_READ.format(path)),
        "train -f": ([f"{path}.py"], TO_READ.format(f"{path}.py")),
        "check-data": (data, TO_READ.format(path)),
        "convert-events a.dat": ([f"{path}.h5"], TO_READ.format(f"{path}.h5")),
        "make-synthetic": ([path], TO_READ.format(path)),
        "eval -c": ([path], f"error: Cannot read checkpoint {path}: Permission denied."),
        "sweep": ([path], f"error: Cannot read the sweep file {path}: Permission denied."),
        "keys": (
            [path],
            f"error: Cannot write {path}: Permission denied. Nothing was replaced; free some space "
            "or choose another directory.",
        ),
    }
    commands = [[*name.split(), *more] for name, (more, _) in expected.items()]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        cwd=tmp_path,
        preexec_fn=obey_permissions,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert said == [[1, message] for _, message in expected.values()]


def test_a_path_that_cannot_exist(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a" * 300
    assert main(["eval", "-c", name]) == 1
    assert capsys.readouterr().err == f"error: Cannot read checkpoint {name}: File name too long.\n"
    assert main(["train", "-f", name]) == 1
    assert capsys.readouterr().err == (
        f"error: Cannot use {name}: File name too long. Give a shorter path.\n"
    )


def test_a_folder_is_no_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "-c", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"error: Checkpoint {tmp_path} is a folder. Check the path given with -c.\n"
    )


@pytest.mark.parametrize("error", [OSError("no header"), ValueError("a bug")], ids=str)
def test_a_bug_keeps_its_traceback(error: Exception) -> None:
    def failing() -> None:
        raise error

    command: Callable[[], object] = failing
    with pytest.raises(type(error), match=str(error)):
        exit_code_of(command)
