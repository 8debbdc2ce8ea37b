"""Sweeps: an experiment in several variants, with several seeds."""

from easnn.cli.sweep.command import main, make_parser
from easnn.cli.sweep.devices import sweep_devices
from easnn.cli.sweep.folder import RunStatus, SweepFolder
from easnn.cli.sweep.plan import Sweep, SweepRun, read_sweep
from easnn.cli.sweep.runner import Failure, SweepRunner
from easnn.cli.sweep.table import Spread, sweep_rows, sweep_table
from easnn.cli.sweep.tools import Tools

__all__ = [
    "Failure",
    "RunStatus",
    "Spread",
    "Sweep",
    "SweepFolder",
    "SweepRun",
    "SweepRunner",
    "Tools",
    "main",
    "make_parser",
    "read_sweep",
    "sweep_devices",
    "sweep_rows",
    "sweep_table",
]
