"""Training and evaluation of the variants of an experiment."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from loguru import logger

from easnn.sweep import (
    PROGRAM,
    SweepFolder,
    SweepRun,
    SweepRunner,
    read_sweep,
    sweep_devices,
    write_table,
)
from easnn.utils.errors import ConfigError, TrainingError
from easnn.utils.logging import setup_logging


def run_sweep(options: argparse.Namespace, program: Sequence[str] | None = None) -> None:
    """Run the sweep, and print and write its table.

    Args:
        options: options of the command line.
        program: the command that trains and evaluates; None: :data:`~easnn.sweep.PROGRAM`.

    Raises:
        ConfigError: if the sweep file or an option is wrong, or the settings of a run have changed.
        OutputError: if a file cannot be written, or another sweep is active in the folder.
        TrainingError: if runs failed.
        SystemExit: after a signal, with code 130 or 143.
    """
    setup_logging()
    path = options.output or Path("YOLOX_outputs") / options.file.stem
    folder = SweepFolder(path, read_sweep(options.file, options.words))
    if options.table:
        _report(folder)
        return
    devices = sweep_devices(options.devices)
    changed = _changed_runs(folder)
    if changed and not options.redo_changed:
        run = changed[0]
        raise ConfigError(
            f"{len(changed)} runs in {folder.path} were made with other settings, e.g. {run.name}: "
            f"{', '.join(folder.differences(run))}. Repeat them with --redo-changed, or choose "
            "another folder (--output)."
        )
    with folder.locked() as lock:
        try:
            failures = SweepRunner(folder, devices, lock, program or PROGRAM).run()
        finally:
            _report(folder)
    for failure in failures:
        logger.error("{}", failure)
    if failures:
        raise TrainingError(f"{len(failures)} of {len(folder.sweep.runs)} runs failed.")


def _report(folder: SweepFolder) -> None:
    """Print and write the table of finished runs."""
    if not folder.path.is_dir():
        raise ConfigError(f"There are no runs in {folder.path}: it does not exist (--output).")
    print(write_table(folder), flush=True)
    if changed := _changed_runs(folder):
        names = ", ".join(run.name for run in changed)
        logger.warning("Not in the table, because they were made with other settings: {}", names)


def _changed_runs(folder: SweepFolder) -> list[SweepRun]:
    return [run for run in folder.sweep.runs if folder.differences(run)]
