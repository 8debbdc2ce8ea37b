"""Preprocess raw recordings as RVT does: ``easnn preprocess``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from easnn.cli.arguments import add_drop_option, exit_code_of, file_path, plain_parser
from easnn.utils.options import RVT_DATASETS

DESCRIPTION = """\
Computes 50 ms histograms of raw recordings, filters their labels, and writes both in the format of
RVT: OUTPUT/{train,val,test}/NAME/event_representations_v2 and labels_v2. A sequence appears only
once it is complete and is never overwritten. To resume an interrupted run, repeat the command.
"""

MAX_DEFAULT_PROCESSES = 8


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = plain_parser(DESCRIPTION)
    parser.add_argument(
        "data_name",
        choices=RVT_DATASETS,
        help="dataset, which determines filters and resolution: %(choices)s",
    )
    parser.add_argument(
        "input",
        type=file_path,
        metavar="INPUT",
        help="folder of the raw recordings, INPUT/{train,val,test}/NAME_td.*",
    )
    parser.add_argument(
        "output", type=file_path, metavar="OUTPUT", help="output folder: new, or one to resume"
    )
    parser.add_argument(
        "--splits",
        type=lambda text: text.split(","),
        metavar="NAMES",
        help="splits, separated by commas (default: those of train,val,test that exist)",
    )
    add_drop_option(parser)
    parser.add_argument(
        "--processes",
        type=int,
        default=min(MAX_DEFAULT_PROCESSES, os.cpu_count() or 1),
        metavar="N",
        help="parallel processes; the files do not depend on it (default: one per core, here "
        "%(default)s)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = make_parser().parse_args(argv)
    from easnn.cli.tasks.preprocess import preprocess

    return exit_code_of(lambda: preprocess(options), if_interrupted="Repeat the command to resume.")
