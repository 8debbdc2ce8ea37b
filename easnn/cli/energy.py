"""Count the operations, spikes and energy of a checkpoint's network: ``easnn energy``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from easnn.cli.arguments import SetKey, exit_code_of, file_path, parse, plain_parser

DESCRIPTION = """\
Runs a checkpoint on frames of its dataset and counts, layer by layer, the accumulates, the
multiply-accumulates, their energy, and the spikes. The tables are printed, and the numbers are
written to the results folder next to the checkpoint. docs/energy.md describes the method.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = plain_parser(DESCRIPTION)
    parser.add_argument(
        "-c", "--ckpt", type=file_path, metavar="FILE", help="checkpoint of a run (required)"
    )
    parser.add_argument(
        "-n", "--name", help="name of an experiment that replaces all settings except the network"
    )
    parser.add_argument(
        "-f", "--exp_file", type=file_path, metavar="FILE", help="the same by experiment file"
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=100,
        metavar="N",
        help="number of frames, spread evenly over the split (default: %(default)s)",
    )
    parser.add_argument(
        "--fuse",
        action="store_true",
        help="fold every batch norm into the convolution before it, and multiply factors",
    )
    parser.add_argument(
        "--test", action=SetKey, pairs=("eval_split", "test"), help="use the test split"
    )
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="key value",
        help="keys to set, e.g. data_dir DIR",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = parse(make_parser(), argv)
    from easnn.cli.tasks.energy import report

    return exit_code_of(lambda: report(options))
