"""Compare variants of an experiment: ``easnn sweep``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from loguru import logger

from easnn.cli.arguments import exit_code_of, plain_parser
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

DESCRIPTION = """\
Trains and evaluates every variant of a sweep file with every seed, and prints the mean and sample
standard deviation of each variant. Finished runs are skipped, interrupted runs resume and failed
runs are repeated: to finish a sweep that was stopped, run the same command again. The exit code is
1 if a run failed.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = plain_parser(DESCRIPTION)
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="sweep file (TOML, see docs/sweeps.md)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder of all runs and of the table (default: YOLOX_outputs/NAME for NAME.toml)",
    )
    parser.add_argument(
        "-d",
        "--devices",
        type=int,
        default=1,
        metavar="N",
        help="simultaneous runs, each on its own GPU or, without GPUs, on its share of the cores "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--table", action="store_true", help="only print and write the table of finished runs"
    )
    parser.add_argument(
        "--redo-changed",
        action="store_true",
        help="repeat runs whose settings have changed in the file; their old files are kept under "
        "another name",
    )
    parser.add_argument("words", nargs="*", metavar="key value", help="keys to set in every run")
    return parser


def main(argv: Sequence[str] | None = None, *, program: Sequence[str] = PROGRAM) -> int:
    """Run the command and return the exit code.

    Args:
        argv: the command line without the program.
        program: the command that trains and evaluates.
    """
    options = make_parser().parse_intermixed_args(argv)
    return exit_code_of(lambda: run_sweep(options, program))


def run_sweep(options: argparse.Namespace, program: Sequence[str]) -> None:
    """Run the sweep, and print and write its table.

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
            failures = SweepRunner(folder, devices, lock, program).run()
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
