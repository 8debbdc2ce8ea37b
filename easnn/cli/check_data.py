"""Check a dataset without training: ``easnn check-data``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from easnn.cli.arguments import add_experiment_options, exit_code_of, file_path, parse, plain_parser

if TYPE_CHECKING:
    from easnn.data.survey import Problem

DESCRIPTION = """\
Reads every recording and label of a dataset, and prints a summary and all problems. The exit code
is 0 if training would work with the dataset, else 1. With the options and keys of a training
command, it also checks that they fit the dataset.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = plain_parser(DESCRIPTION)
    add_experiment_options(parser)
    parser.add_argument(
        "--json", type=file_path, metavar="FILE", help="also write all results to this file"
    )
    parser.add_argument("--strict", action="store_true", help="exit code 1 for any problem")
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="parallel processes (default: %(default)s)",
    )
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="key value",
        help="keys, e.g. data_name gen1 data_dir DIR",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = parse(make_parser(), argv)
    from easnn.cli.tasks.check_data import check

    problems: list[Problem] = []
    code = exit_code_of(lambda: problems.extend(check(options)))
    if any(problem.fatal or options.strict for problem in problems):
        code = 1
    return code
