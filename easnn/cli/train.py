"""Train a detector: ``easnn train``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from easnn.cli.arguments import build_parser, file_path, parse
from easnn.utils.options import WRITERS

DESCRIPTION = "Train the detector of an experiment. All output is written to OUTPUT_DIR/EXP_NAME."


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = build_parser(
        DESCRIPTION,
        checkpoint_help="checkpoint with initial weights or, with --resume, of the run to resume",
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--resume",
        action="store_true",
        help="resume from -c, or from latest_ckpt.pth of the run directory",
    )
    training.add_argument(
        "-e",
        "--start_epoch",
        type=int,
        metavar="N",
        help="start at epoch N, counted from 0",
    )
    training.add_argument(
        "-o",
        "--occupy",
        action="store_true",
        help="reserve the free GPU memory at once; no effect on a CPU",
    )
    training.add_argument(
        "-l",
        "--logger",
        default="tensorboard",
        help=f"{' or '.join(WRITERS)}, in addition to metrics.jsonl (default: %(default)s)",
    )
    training.add_argument(
        "--grid_search",
        type=file_path,
        metavar="CSV",
        help="append best AP, checkpoint and command to a table, which runs can share",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = parse(make_parser(), argv)
    from easnn.cli.tasks.experiment import run_command
    from easnn.cli.tasks.train import train

    return run_command(train, options)
