"""The command ``easnn``: ``easnn COMMAND …`` runs one of the commands of this package."""

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
from easnn.utils.errors import did_you_mean

Main = Callable[[Sequence[str] | None], int]
"""A ``main`` function: from the words of the command line, without the program, to the exit code."""


class Command(NamedTuple):
    """A command of ``easnn``.

    Attributes:
        module: the module with its ``main`` function. It is imported when the command runs: torch
            alone takes seconds.
        summary: what it does, in a line.
    """

    module: str
    summary: str


COMMANDS = {
    "quickstart": Command(
        "easnn.cli.quickstart", "simulate, train, evaluate and draw, once and small"
    ),
    "train": Command("easnn.cli.train", "train a detector"),
    "eval": Command("easnn.cli.eval", "evaluate a checkpoint"),
    "demo": Command("easnn.cli.demo_event", "draw what a checkpoint detects in a recording"),
    "energy": Command("easnn.cli.energy", "count operations, firing and energy of a checkpoint"),
    "sweep": Command("easnn.cli.sweep", "compare variants of an experiment over several seeds"),
    "keys": Command("easnn.cli.keys", "write the page that documents every key of an experiment"),
    "check-data": Command("easnn.cli.check_data", "read a dataset and report every problem"),
    "preprocess": Command("easnn.cli.preprocess", "preprocess raw recordings as RVT does"),
    "make-synthetic": Command("easnn.cli.make_synthetic", "simulate an event dataset"),
    "convert-events": Command("easnn.cli.convert_events", "convert a recording to DAT or HDF5"),
    "convert-checkpoint": Command(
        "easnn.cli.convert_checkpoint", "convert a checkpoint to or from the published format"
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first word names and return its exit code: 2 if there is none of that name.

    Args:
        argv: the command line without the program; ``None``: that of this program.
    """
    words = list(sys.argv[1:] if argv is None else argv)
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
            f"error: Unknown {kind} `{name}`.{did_you_mean(name, COMMANDS)} "
            f"The commands are {', '.join(COMMANDS)}; `easnn --help` describes them.",
            file=sys.stderr,
        )
        return 2
    with _as_program(f"easnn {name}", words[1:]):
        return load_command(name)(words[1:])


def load_command(name: str) -> Main:
    """Import a command and return its ``main`` function.

    Args:
        name: one of ``COMMANDS``.
    """
    command: Main = importlib.import_module(COMMANDS[name].module).main
    return command


def help_page() -> str:
    """Return what ``easnn --help`` prints."""
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
    """Return the versions of easnn and of what its numbers depend on most, in a line. Nothing is imported."""
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
    """Let a command find the environment of a program of its own.

    Its usage lines show ``name``. Experiment files may import modules from the working directory
    and from the folder ``EASNN_ROOT``, such as ``exps.default.e_yolox_s`` of a checkout.
    """
    argv, path = sys.argv, sys.path
    folders = [str(Path.cwd()), os.environ.get("EASNN_ROOT")]
    sys.argv = [name, *words]
    sys.path = [*path, *(folder for folder in folders if folder)]
    try:
        yield
    finally:
        sys.argv, sys.path = argv, path
