"""The program ``easnn``, which runs the commands of this package: ``easnn COMMAND …``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import NamedTuple

from easnn import __version__
from easnn.cli.arguments import LOCAL_RANK
from easnn.utils.errors import did_you_mean

Main = Callable[[Sequence[str] | None], int]
"""A ``main`` function, from the command line without the program name to the exit code."""


class Command(NamedTuple):
    """A command of ``easnn``.

    Attributes:
        module: the module with its ``main`` function. It is imported only when the command runs,
            because importing torch takes seconds.
        summary: what it does, in one line.
    """

    module: str
    summary: str


COMMANDS = {
    "quickstart": Command(
        "easnn.cli.quickstart", "simulate, train, evaluate and draw on a small dataset"
    ),
    "train": Command("easnn.cli.train", "train a detector"),
    "eval": Command("easnn.cli.eval", "evaluate a checkpoint"),
    "score": Command("easnn.cli.score", "score detections of any program, one or several"),
    "demo": Command("easnn.cli.demo", "draw the detections of a checkpoint in a recording"),
    "watch": Command("easnn.cli.watch", "detect in a stream: a port, a pipe or a recording"),
    "energy": Command("easnn.cli.energy", "count operations, firing and energy of a checkpoint"),
    "audit-state": Command("easnn.cli.audit_state", "measure what the memory of a checkpoint does"),
    "benchmark": Command("easnn.cli.benchmark", "measure the speed of easnn on this machine"),
    "sweep": Command("easnn.cli.sweep", "compare variants of an experiment over several seeds"),
    "keys": Command("easnn.cli.keys", "write the page that documents every key of an experiment"),
    "check-data": Command("easnn.cli.check_data", "read a dataset and report every problem"),
    "preprocess": Command("easnn.cli.preprocess", "preprocess raw recordings as RVT does"),
    "make-synthetic": Command("easnn.cli.make_synthetic", "simulate an event dataset"),
    "convert-events": Command("easnn.cli.convert_events", "convert a recording to DAT or HDF5"),
    "convert-checkpoint": Command(
        "easnn.cli.convert_checkpoint", "convert a checkpoint to or from the published format"
    ),
    "gpu-check": Command("easnn.cli.gpu_check", "check a machine with a GPU against its CPU"),
    "soak": Command("easnn.cli.soak", "kill trainings at random, resume and compare them"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first word names and return its exit code, 2 for an unknown name.

    Args:
        argv: the command line without the program name; ``None``: ``sys.argv``.
    """
    words = _command_first(list(sys.argv[1:] if argv is None else argv))
    if not words or words[0] in ("-h", "--help"):
        print(help_page())
        return 0
    if words[0] == "--version":
        print(versions())
        return 0
    name = words[0]
    if name not in COMMANDS:
        kind = "option" if name.startswith("-") else "command"
        print(
            f"error: Unknown {kind} `{name}`.{did_you_mean(name, COMMANDS)} The commands are "
            f"{', '.join(COMMANDS)}; `easnn --help` describes them.",
            file=sys.stderr,
        )
        return 2
    with _as_program(f"easnn {name}", words[1:]):
        return load_command(name)(words[1:])


def _command_first(words: list[str]) -> list[str]:
    """Return the words with a leading ``--local-rank=N`` after the command.

    ``python -m torch.distributed.launch -m easnn train …`` puts it before all words of the user.
    """
    leading = len(words) > 1 and words[0].partition("=")[0] in LOCAL_RANK and "=" in words[0]
    return [words[1], words[0], *words[2:]] if leading else words


def load_command(name: str) -> Main:
    """Import a command and return its ``main`` function.

    Args:
        name: one of ``COMMANDS``.
    """
    return importlib.import_module(COMMANDS[name].module).main


def help_page() -> str:
    """Return the output of ``easnn --help``."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        (
            "usage: easnn [-h] [--version] COMMAND ...",
            "",
            "Object detection on event-camera recordings with spiking neural networks.",
            "",
            "commands:",
            *(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()),
            "",
            "`easnn COMMAND --help` describes the options of a command.",
        )
    )


def versions() -> str:
    """Return the versions of easnn and of its main dependencies in one line, without imports."""
    packages = ", ".join(
        f"{name} {_version(name)}" for name in ("torch", "torchvision", "spikingjelly")
    )
    return f"easnn {__version__} (Python {python_version()}, {packages})"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@contextmanager
def _as_program(name: str, words: Sequence[str]) -> Iterator[None]:
    """Set ``sys.argv`` and ``sys.path`` as for a separate program.

    Usage lines then show ``name``, and experiment files can import modules from the working
    directory and the folder ``EASNN_ROOT``, such as ``exps.default.e_yolox_s`` of a checkout.
    """
    argv, path = sys.argv, sys.path
    folders = [str(Path.cwd()), os.environ.get("EASNN_ROOT")]
    sys.argv = [name, *words]
    sys.path = [*path, *(folder for folder in folders if folder)]
    try:
        yield
    finally:
        sys.argv, sys.path = argv, path
