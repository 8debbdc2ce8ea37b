"""Compare variants of an experiment: ``easnn sweep``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from easnn.cli.arguments import exit_code_of, file_path, plain_parser

DESCRIPTION = """\
Trains and evaluates every variant of a sweep file with every seed, and prints the mean and sample
standard deviation of each variant. Finished runs are skipped, interrupted runs resume and failed
runs are repeated: to finish a sweep that was stopped, run the same command again. The exit code is
1 if a run failed.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = plain_parser(DESCRIPTION)
    parser.add_argument(
        "file", metavar="FILE", type=file_path, help="sweep file (TOML, see docs/sweeps.md)"
    )
    parser.add_argument(
        "--output",
        type=file_path,
        metavar="DIR",
        help="folder of all runs and of the table (default: YOLOX_outputs/NAME for NAME.toml)",
    )
    parser.add_argument(
        "-d",
        "--devices",
        type=int,
        default=1,
        metavar="N",
        help="simultaneous runs, each on its own GPU or, without GPUs, on its share of the cores "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--table", action="store_true", help="only print and write the table of finished runs"
    )
    parser.add_argument(
        "--redo-changed",
        action="store_true",
        help="repeat runs whose settings have changed in the file; their old files are kept under "
        "another name",
    )
    parser.add_argument("words", nargs="*", metavar="key value", help="keys to set in every run")
    return parser


def main(argv: Sequence[str] | None = None, *, program: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code.

    Args:
        argv: the command line without the program.
        program: the command that trains and evaluates.
    """
    options = make_parser().parse_intermixed_args(argv)
    from easnn.cli.tasks.sweep import run_sweep

    return exit_code_of(lambda: run_sweep(options, program))
