"""Convert a recording to DAT or HDF5: ``easnn convert-events``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from easnn.cli.arguments import add_recording_options, exit_code_of, file_path, plain_parser

SUFFIXES = (".dat", ".h5", ".hdf5")
"""Suffixes of the output."""

DESCRIPTION = """\
Converts a recording in any format (DAT, RAW with EVT2, EVT2.1 or EVT3, HDF5, AEDAT4, N-MNIST .bin,
npz) to DAT or HDF5. The output appears only once it is complete, and no file is ever overwritten.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = plain_parser(DESCRIPTION)
    parser.add_argument(
        "input",
        type=file_path,
        metavar="INPUT",
        help="recording; its format is detected from its content",
    )
    parser.add_argument(
        "output",
        type=file_path,
        metavar="OUTPUT",
        help=f"file to write; the suffix ({', '.join(SUFFIXES)}) selects the format",
    )
    add_recording_options(parser, default_size="from INPUT")
    parser.add_argument(
        "--from-zero",
        action="store_true",
        help="shift the times to begin at 0 (required for DAT if they are Unix times)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = make_parser().parse_args(argv)
    from easnn.cli.tasks.convert_events import convert

    return exit_code_of(lambda: convert(options))
