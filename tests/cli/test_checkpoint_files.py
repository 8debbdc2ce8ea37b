"""What every loader of checkpoints refuses: files that run code, weights that are not finite."""

from __future__ import annotations

import ast
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from untrained import untrained

import easnn
from easnn import Predictor
from easnn.checkpoints import Checkpoint, load_checkpoint
from easnn.cli.main import main
from easnn.utils.errors import CheckpointError
from easnn.utils.tensor_file import read_tensor_file

PACKAGE = Path(easnn.__file__).parent

COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "train": lambda path: ["train", "-n", "e-yolox-demo", "-c", str(path)],
    "summary": lambda path: ["train", "--summary", "-c", str(path)],
    "resume": lambda path: ["train", "--resume", "-c", str(path)],
    "resume by name": lambda path: [
        *("train", "--resume", "-n", "e-yolox-demo", "-expn", path.parent.name),
        *("output_dir", str(path.parent.parent)),
    ],
    "eval": lambda path: ["eval", "-c", str(path)],
    "eval by name": lambda path: [
        *("eval", "-n", "e-yolox-demo", "-expn", path.parent.name),
        *("output_dir", str(path.parent.parent)),
    ],
    "demo": lambda path: ["demo", str(path.with_name("a.dat")), "-c", str(path)],
    "energy": lambda path: ["energy", "-c", str(path)],
    "audit-state": lambda path: ["audit-state", "-c", str(path)],
    "convert": lambda path: ["convert-checkpoint", str(path), str(path.with_name("new.pth"))],
}
FUNCTIONS: dict[str, Callable[[Path], object]] = {
    "Predictor.load": Predictor.load,
    "Checkpoint": Checkpoint,
    "load_checkpoint": load_checkpoint,
}


class Bomb:
    """Its pickle runs a function: plain unpickling would make a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


def copies(contents: object, folder: Path, *, zipped: bool = True) -> Path:
    """Write a file under both names that a run folder has, and return one of them."""
    for name in ("latest_ckpt.pth", "best_ckpt.pth"):
        torch.save(contents, folder / name, _use_new_zipfile_serialization=zipped)
    return folder / "latest_ckpt.pth"


def errors_of_all_loaders(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return what each command and each function says; none of them may accept the file."""
    said = {}
    for name, words in COMMANDS.items():
        assert main(words(path)) == 1, name
        said[name] = capsys.readouterr().err.splitlines()[-1].removeprefix("error: ")
    for name, load in FUNCTIONS.items():
        with pytest.raises(CheckpointError) as error:
            load(path)
        said[name] = str(error.value)
    return said


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_never_run(
    run_folder: Path, zipped: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    target = run_folder / "made_by_the_bomb"
    contents = torch.load(untrained(run_folder), weights_only=True)
    path = copies({**contents, "optimizer": Bomb(target)}, run_folder, zipped=zipped)
    said = errors_of_all_loaders(path, capsys)
    with pytest.raises(CheckpointError) as error:
        read_tensor_file(path)
    said["read_tensor_file"] = str(error.value)
    expected = (
        f"{path} contains objects other than tensors and plain values, and reading them could "
        "execute code; it was not read. Save its weights as a plain state dict with the software "
        "that wrote it."
    )
    best = expected.replace("latest_ckpt", "best_ckpt")
    assert said == {**dict.fromkeys(said, expected), "eval by name": best}
    assert not target.exists()
    torch.load(path, weights_only=False)
    assert target.is_dir()  # the bomb is one


@pytest.mark.parametrize("entry", ["model", "raw_model"])
def test_weights_that_are_not_finite_are_named(
    run_folder: Path, entry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = torch.load(untrained(run_folder), weights_only=True)
    contents["optimizer"] = {}
    contents[entry]["backbone.dark3.0.bn.running_var"][5] = math.inf
    path = copies(contents, run_folder)
    expected = (
        f"The weights of {path} must be finite, but there are NaN or infinite values in "
        "backbone.dark3.0.bn.running_var. Use another checkpoint, e.g. an earlier one of the same "
        "run."
    )
    said = errors_of_all_loaders(path, capsys)
    best = expected.replace("latest_ckpt", "best_ckpt")
    assert said == {**dict.fromkeys(said, expected), "eval by name": best}


def test_one_module_reads_files_that_could_hold_code() -> None:
    """A new loader has to use it; NumPy refuses pickles unless it is asked not to."""
    readers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(unpickles(call) for call in calls_in(path))
    }
    assert readers == {"utils/tensor_file.py"}


def calls_in(path: Path) -> Iterator[ast.Call]:
    tree = ast.parse(path.read_text("utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def unpickles(call: ast.Call) -> bool:
    words = {ast.unparse(keyword) for keyword in call.keywords}
    functions = ("torch.load", "pickle.load", "pickle.loads", "pickle.Unpickler")
    return ast.unparse(call.func) in functions or "allow_pickle=True" in words
