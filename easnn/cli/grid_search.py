"""The table of ``--grid_search``: what came out of each of many trainings."""

from __future__ import annotations

import argparse
import shlex

from easnn.engine import RunDirectory, TrainResult
from easnn.utils.shared_csv import SharedCsv

COLUMNS = ("best_ap", "checkpoint", "command")


def check_grid_search(options: argparse.Namespace) -> None:
    """Check that the result can be noted later.

    Args:
        options: of the training's command line.

    Raises:
        OutputError: if the table cannot be written, or is another one.
    """
    if options.grid_search is not None:
        SharedCsv(options.grid_search, COLUMNS).check()


def note_grid_search(options: argparse.Namespace, result: TrainResult, run: RunDirectory) -> None:
    """Append a row for a training, if its command line asks for it.

    Args:
        options: of the command line.
        result: what came out; without a defined AP its cell stays empty, and the checkpoint is the last one.
        run: the files of the run.

    Raises:
        OutputError: if the table cannot be written.
    """
    if options.grid_search is None:
        return
    SharedCsv(options.grid_search, COLUMNS).append(
        {
            "best_ap": result.best_ap,
            "checkpoint": run.latest if result.best_ap is None else run.best,
            "command": shlex.join(("easnn", "train", *options.argv)),
        }
    )
