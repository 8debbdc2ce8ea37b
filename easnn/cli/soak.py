"""Kill trainings at random moments and compare what comes out: ``easnn soak``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from easnn.cli.arguments import exit_code_of, file_path, plain_parser

DESCRIPTION = """\
Trains a small network on a small simulated dataset and kills the training at random moments: within
a step, while it saves, evaluates, starts or resumes; all its processes, one of them, or a process
that loads data; by SIGKILL and SIGTERM. It is resumed until it is complete. Weights, moving
average, optimizer, best checkpoint and metrics must then be equal to the last bit to those of a
training that was left alone. The exit code is 1 if something was lost; such runs are kept. It needs
Linux, no data, and a few seconds per kill.
"""


def process_counts(text: str) -> tuple[int, ...]:
    """Parse numbers of processes like ``1,2``; the ``type`` of an option.

    Raises:
        argparse.ArgumentTypeError: if the text is not of this form.
    """
    try:
        counts = tuple(map(int, text.split(",")))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1 or max(counts) > 4 or len({*counts}) < len(counts):
        raise argparse.ArgumentTypeError(
            f"must be different numbers from 1 to 4, like 1,2, but is {text!r}"
        )
    return counts


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = plain_parser(DESCRIPTION)
    parser.add_argument(
        "--kills",
        type=int,
        default=40,
        metavar="N",
        help="number of kills, divided evenly among the numbers of processes (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="draws the kills (default: %(default)s)"
    )
    parser.add_argument(
        "--processes",
        type=process_counts,
        default=(1, 2),
        metavar="N,…",
        help="numbers of processes that train (default: 1,2)",
    )
    parser.add_argument(
        "--keep",
        type=file_path,
        default=Path("soak"),
        metavar="DIR",
        help="new or empty folder for soak.json and for runs in which something was lost "
        "(default: %(default)s)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = make_parser().parse_args(argv)
    from easnn.cli.tasks.soak import soak

    return exit_code_of(lambda: soak(options))
