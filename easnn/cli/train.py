"""Train a detector: ``easnn train``."""

from __future__ import annotations

import argparse
import signal
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
        "--auto-resume",
        action="store_true",
        help="resume if the run directory has a latest_ckpt.pth, else start: for batch jobs that "
        "are queued again",
    )
    training.add_argument(
        "--stop-signal",
        type=_signal,
        default="SIGUSR1",
        metavar="NAME",
        help="signal that saves the state and ends the run, besides SIGINT and SIGTERM (default: "
        "%(default)s)",
    )
    training.add_argument(
        "--max-restarts",
        type=int,
        default=0,
        metavar="N",
        help="with several processes: if one is killed, start all of them again from the last "
        "checkpoint, at most N times (default: %(default)s)",
    )
    training.add_argument(
        "--deterministic",
        action="store_true",
        help="take only algorithms that compute the same numbers in every run; on a GPU they can "
        "be slower, which --dry-run measures",
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
    training.add_argument(
        "--dry-run",
        action="store_true",
        help="do one step of everything in a temporary folder, say whether the run would work, "
        "and exit",
    )
    training.add_argument(
        "--json",
        type=file_path,
        metavar="FILE",
        help="with --dry-run: also write the table to this file",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = parse(make_parser(), argv)
    from easnn.cli.tasks.dry_run import dry_run
    from easnn.cli.tasks.experiment import run_command
    from easnn.cli.tasks.train import train

    if options.dry_run:
        return run_command(dry_run, options, stop_signal=options.stop_signal)
    return run_command(
        train,
        options,
        stop_signal=options.stop_signal,
        max_restarts=options.max_restarts,
        options_of_restart=argparse.Namespace(**{**vars(options), "auto_resume": True}),
    )


def _signal(text: str) -> int:
    """Return the number of a signal, given by its name; the ``type`` of an option."""
    name = text if text.startswith("SIG") else f"SIG{text}"
    if name not in signal.Signals.__members__ or name in ("SIGKILL", "SIGSTOP"):
        raise argparse.ArgumentTypeError(
            f"must be the name of a signal that can be handled, like SIGUSR1, but is {text!r}"
        )
    return int(signal.Signals[name])
