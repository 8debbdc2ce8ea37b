"""The programs in ``tools`` run from a checkout that is not installed, from every folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"

COMMAND = """\
import json, os, subprocess, sys

def load_command(name):
    return lambda argv: main(name, argv)

def main(name, argv):
    child = [sys.executable, "-S", "-c", "import easnn; print(easnn.__file__)"]
    where = subprocess.run(child, cwd="/", capture_output=True, text=True).stdout.strip()
    from exps.mine import NAME
    root = os.environ["EASNN_ROOT"]
    found = {"name": name, "argv": argv, "words": sys.argv[1:], "root": root}
    print(json.dumps({**found, "child": where, "exp": NAME}))
    return 3
"""
"""In place of ``easnn.cli.main``: tells what a command finds."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with our tools and a package that needs no other one."""
    root = tmp_path / "checkout"
    shutil.copytree(TOOLS, root / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "easnn" / "cli").mkdir(parents=True)
    for name in ("__init__.py", "cli/__init__.py"):
        (root / "easnn" / name).touch()
    (root / "easnn" / "cli" / "main.py").write_text(COMMAND)
    (root / "exps").mkdir()
    (root / "exps" / "mine.py").write_text("NAME = 'mine'\n")
    return root


def run(script: Path, folder: Path, **environment: str) -> dict[str, object]:
    """Run a tool without any installed package (``-S``) and return what its command found."""
    inherited = {
        name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ
    }
    done = subprocess.run(
        [sys.executable, "-S", str(script), "-n", "e-yolox-s"],
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("folder", "script"),
    [
        (".", "tools/train_event.py"),
        ("tools", "train_event.py"),
        ("exps", "../tools/train_event.py"),
    ],
)
def test_a_tool_and_what_it_starts_find_the_checkout(
    folder: str, script: str, checkout: Path
) -> None:
    assert run(Path(script), checkout / folder) == {
        "name": "train",
        "argv": None,
        "words": ["-n", "e-yolox-s"],
        "root": str(checkout),
        "child": str(checkout / "easnn" / "__init__.py"),
        "exp": "mine",
    }


def test_the_environment_of_the_user_comes_first(checkout: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    shutil.copytree(checkout / "easnn", installed / "easnn")
    found = run(
        checkout / "tools" / "eval_event.py",
        tmp_path,
        PYTHONPATH=str(installed),
        EASNN_ROOT=str(tmp_path),
    )
    assert found["name"] == "eval"
    assert found["root"] == str(tmp_path)
    assert found["child"] == str(installed / "easnn" / "__init__.py")
    assert found["exp"] == "mine"
