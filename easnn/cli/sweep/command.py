"""Compare variants of an experiment: ``tools/sweep.py``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from loguru import logger

from easnn.cli.console import exit_code_of
from easnn.cli.sweep.devices import sweep_devices
from easnn.cli.sweep.folder import RunStatus, SweepFolder
from easnn.cli.sweep.plan import Sweep, read_sweep
from easnn.cli.sweep.runner import Failure, SweepRunner
from easnn.cli.sweep.table import sweep_rows, sweep_table, write_tables
from easnn.cli.sweep.tools import Tools
from easnn.utils.errors import ConfigError
from easnn.utils.logging import setup_logging

TOOLS = Tools()
DESCRIPTION = """\
Trains and evaluates every variant of a sweep file with every seed and prints mean and sample standard deviation
of each variant. Runs that are done are left out and interrupted ones go on, so the same command finishes a sweep
that was stopped, and repeats what failed. Exit code 1 if a run failed."""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="sweep file (TOML, see docs/sweeps.md)")
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
        help="runs at the same time: on a GPU each, or sharing the cores if there is none (default: %(default)s)",
    )
    parser.add_argument("--table", action="store_true", help="only print and write the table of what is done")
    parser.add_argument(
        "--redo-changed",
        action="store_true",
        help="make runs again whose settings were changed in the file; their files are set aside",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="key value",
        help="keys to set in every run, e.g. data_dir DIR",
    )
    return parser


def main(argv: Sequence[str] | None = None, *, tools: Tools = TOOLS) -> int:
    """Make the sweep as the command line says and return the exit code.

    Args:
        argv: the command line without the program.
        tools: the programs that train and evaluate.
    """
    options = make_parser().parse_intermixed_args(argv)
    failures: list[Failure] = []
    code = exit_code_of(lambda: failures.extend(make_sweep(options, tools)))
    return code or int(bool(failures))


def make_sweep(options: argparse.Namespace, tools: Tools) -> list[Failure]:
    """Do what the options say and return what failed.

    Raises:
        ConfigError: if the sweep file or an option is wrong, or a run was made with other settings.
        OutputError: if a file cannot be written, or another sweep is at work in the folder.
        SystemExit: after a signal, with code 130 or 143.
    """
    setup_logging()
    sweep = read_sweep(options.file, options.words)
    folder = SweepFolder(options.output or Path("YOLOX_outputs") / options.file.stem, sweep)
    if options.table:
        _show_table(sweep, folder)
        return []
    devices = sweep_devices(options.devices)
    if not options.redo_changed:
        _check_unchanged(sweep, folder)
    with folder.locked() as lock:
        runner = SweepRunner(sweep, folder, devices, lock=lock, tools=tools)
        try:
            failures = runner.run()
        finally:
            _show_table(sweep, folder)
    for failure in failures:
        logger.error("{}", failure)
    return failures


def _show_table(sweep: Sweep, folder: SweepFolder) -> None:
    if not folder.path.is_dir():
        raise ConfigError(f"There are no runs in {folder.path}: it does not exist (--output).")
    rows = sweep_rows(sweep, folder)
    write_tables(sweep, folder, rows)
    print(sweep_table(rows), flush=True)
    if changed := [run for run in sweep.runs if folder.status(run) is RunStatus.CHANGED]:
        names = ", ".join(run.name for run in changed)
        logger.warning("Left out, because they were made with other settings: {}", names)


def _check_unchanged(sweep: Sweep, folder: SweepFolder) -> None:
    changed = [run for run in sweep.runs if folder.status(run) is RunStatus.CHANGED]
    if changed:
        raise ConfigError(
            f"{len(changed)} runs in {folder.path} were made with other settings, e.g. {changed[0].name}: "
            f"{', '.join(folder.differences(changed[0]))}. Make them again with --redo-changed, or choose another "
            "folder (--output)."
        )
