"""Measure what the memory of a checkpoint's network does: ``easnn audit-state``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from easnn.cli.arguments import SetKey, exit_code_of, file_path, parse, plain_parser

DESCRIPTION = """\
Plays the recordings of a split with the memory of a checkpoint's network, and computes each
labelled window again with other states: empty, of another recording, one window late, and of the
last few windows only. The AP with each of them is printed, and written to the results folder next
to the checkpoint. docs/protocols.md describes the states.
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
        "--frames",
        type=int,
        metavar="N",
        help="only the first N labelled frames (default: all)",
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
    from easnn.cli.tasks.audit_state import report

    return exit_code_of(lambda: report(options))
