"""Convert checkpoints to and from the published format: ``easnn convert-checkpoint``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from easnn.cli.arguments import add_experiment_options, exit_code_of, file_path, plain_parser

DESCRIPTION = """\
Converts a checkpoint of the published EAS-SNN code to one of easnn, which contains its experiment,
or one of easnn to one that the published code reads, depending on INPUT. The weights are bitwise
identical. The output appears only once it is complete, and no file is ever overwritten.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = plain_parser(DESCRIPTION)
    add_experiment_options(parser)
    parser.add_argument(
        "input",
        type=file_path,
        metavar="INPUT",
        help="checkpoint; its kind is detected from its content",
    )
    parser.add_argument("output", type=file_path, metavar="OUTPUT", help="file to write")
    parser.add_argument(
        "pairs",
        nargs=argparse.REMAINDER,
        metavar="key value",
        help="for a published INPUT: the keys of its training, as for `easnn eval`",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = make_parser().parse_args(argv)
    from easnn.cli.tasks.convert_checkpoint import convert

    return exit_code_of(lambda: convert(options))
