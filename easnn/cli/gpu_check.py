"""Check a machine with a GPU: ``easnn gpu-check``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from easnn.cli.arguments import exit_code_of, file_path, plain_parser

DESCRIPTION = """\
Checks on a GPU that networks, losses, gradients and training steps equal those of the CPU, that
mixed precision, several processes, transfers, evaluation in groups and compiled networks work, and
that the host waits once per step; then measures the speed of training and inference beside what the
card can do. It needs no data and takes some minutes. The exit code is 1 if a check failed.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = plain_parser(DESCRIPTION)
    parser.add_argument(
        "--output",
        type=file_path,
        default=Path("gpu_check.json"),
        metavar="FILE",
        help="JSON file of all results (default: %(default)s)",
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="a check to run; may be repeated"
    )
    parser.add_argument(
        "--device",
        choices=("cuda", "cpu"),
        default="cuda",
        help="cpu: run what makes sense without a GPU, in small sizes (default: %(default)s)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and few repetitions on a GPU, too"
    )
    parser.add_argument(
        "--limit-s",
        type=float,
        default=420.0,
        metavar="S",
        help="no check begins after this time in seconds (default: %(default)g)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = make_parser().parse_args(argv)
    from easnn.cli.tasks.gpu_check import check

    return exit_code_of(lambda: check(options))
