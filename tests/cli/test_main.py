"""The command ``easnn`` and ``python -m easnn``."""

from __future__ import annotations

import platform
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from easnn import __version__
from easnn.cli.main import COMMANDS, load_command, main

CHECKOUT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]


def run_module(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "easnn", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def test_the_installed_command_is_this_function() -> None:
    assert PROJECT["scripts"] == {"easnn": "easnn.cli.main:main"}


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]], ids=str)
def test_help_lists_every_command_in_a_line(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "usage: easnn [-h] [--version] COMMAND ..."
    listed = lines[lines.index("commands:") + 1 : -2]
    assert [line.split(maxsplit=1) for line in listed] == [
        [name, command.summary] for name, command in COMMANDS.items()
    ]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_page_with_its_name(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: easnn {name} ")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "trian",
            "error: Unknown command `trian`. Did you mean `train`? The commands are quickstart, "
            "train, ",
        ),
        (
            "check_data",
            "error: Unknown command `check_data`. Did you mean `check-data`? The commands are ",
        ),
        ("xyz", "error: Unknown command `xyz`. The commands are quickstart, train, eval, "),
        ("", "error: Unknown command ``. The commands are "),
        ("--verbose", "error: Unknown option `--verbose`. The commands are "),
    ],
)
def test_an_unknown_command_names_the_nearest_one(
    name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "-n", "e-yolox-s"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(message)
    assert output.err.count("\n") == 1


def test_the_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith(
        f"easnn {__version__} (Python {platform.python_version()}, torch {version('torch')}, "
        "torchvision "
    )


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["trian"]], ids=str)
def test_nothing_large_is_imported_before_a_command_is_chosen(
    words: list[str], tmp_path: Path
) -> None:
    large = {"torch", "torchvision", "spikingjelly", "numpy", "h5py", "cv2", "matplotlib", "loguru"}
    code = (
        "import sys\n"
        "from easnn.cli.main import main\n"
        f"main({words})\n"
        f"print(sorted({large} & {{name.partition('.')[0] for name in sys.modules}}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_page_of_a_command_needs_nothing_slow(name: str, tmp_path: Path) -> None:
    slow = {"torch", "torchvision", "spikingjelly", "matplotlib", "PIL", "cv2", "h5py", "numpy"}
    code = (
        "import sys\n"
        "from easnn.cli.main import main\n"
        "try:\n"
        f"    main([{name!r}, '--help'])\n"
        "finally:\n"
        f"    print(sorted({slow} & {{name.partition('.')[0] for name in sys.modules}}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_command_that_trains_needs_no_pictures_before_it_draws(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "import easnn.cli.tasks.train\n"
        "slow = {'matplotlib', 'PIL', 'tensorboard'}\n"
        "print(sorted(slow & {name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_exit_code_is_that_of_the_command(tmp_path: Path) -> None:
    shown = run_module("train", "-n", "e-yolox-s", "--help-keys", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert ["width", "0.5"] in [line.split()[:2] for line in shown.stdout.splitlines()]

    failed = run_module("train", "-n", "e-yolox-x", folder=tmp_path)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("error: Unknown experiment `e-yolox-x`. Did you mean `e-yolox-")

    unknown = run_module("trian", folder=tmp_path)
    assert (unknown.returncode, unknown.stdout) == (2, "")

    wrong_option = run_module("make-synthetic", "--no-such-option", folder=tmp_path)
    assert wrong_option.returncode == 2
    assert "\neasnn make-synthetic: error: " in wrong_option.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_command_changes_the_program_only_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "probe.py").write_text(
        "import sys\n\ndef main(argv):\n    seen.append((argv, sys.argv))\n    return 7\n\nseen = "
        "[]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(COMMANDS, "train", COMMANDS["train"]._replace(module="probe"))
    argv, path = list(sys.argv), list(sys.path)
    assert main(["train", "-b", "8"]) == 7
    assert sys.modules["probe"].seen == [(["-b", "8"], ["easnn train", "-b", "8"])]
    assert (sys.argv, sys.path) == (argv, path)


@pytest.mark.parametrize("word", ["--local-rank=1", "--local_rank=1"])
def test_a_launcher_puts_its_option_before_the_command(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word, "train", "-n", "e-yolox-s", "--help-keys"]) == 0
    assert "width" in capsys.readouterr().out
    assert main([word]) == 2
    assert capsys.readouterr().err.startswith(f"error: Unknown option `{word}`.")


@pytest.mark.parametrize("rooted", [False, True])
def test_an_experiment_file_may_import_from_the_checkout(
    rooted: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From its folder, or from another one with ``EASNN_ROOT``."""
    root = tmp_path / "root"
    (root / "mine").mkdir(parents=True)
    (root / "mine" / "base.py").write_text(
        "from easnn.exp import EventExp\n\n\nclass Exp(EventExp):\n"
        "    def __init__(self) -> None:\n        super().__init__()\n        self.T = 7\n"
    )
    file = tmp_path / "derived.py"
    file.write_text("from mine.base import Exp\n")
    monkeypatch.chdir(tmp_path if rooted else root)
    monkeypatch.setenv("EASNN_ROOT", str(root) if rooted else "")
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.delitem(sys.modules, "mine.base", raising=False)
    assert main(["train", "-f", str(file), "--help-keys"]) == 0
    assert ["T", "7"] in [line.split()[:2] for line in capsys.readouterr().out.splitlines()]


def test_every_command_but_keys_is_a_tool_and_the_page_of_commands_lists_both() -> None:
    texts = {path.name: path.read_text() for path in (CHECKOUT / "tools").glob("*.py")}
    del texts["checkout.py"]
    tools = {
        text.partition('run_command("')[2].partition('"')[0]: name for name, text in texts.items()
    }
    assert len(tools) == len(texts)
    assert {*tools} == {*COMMANDS} - {"keys"}
    programs = {name: f"`tools/{tools[name]}`" if name in tools else "–" for name in COMMANDS}
    rows = [
        f"| `easnn {name}` | {programs[name]} | {command.summary} |"
        for name, command in COMMANDS.items()
    ]
    page = (CHECKOUT / "docs" / "commands.md").read_text().splitlines()
    assert [line for line in page if line.startswith("| `easnn ")] == rows


def test_every_module_of_the_table_has_a_main_function() -> None:
    for name, command in COMMANDS.items():
        assert callable(load_command(name)), command.module
