"""Sweeps: comparison of variants of an experiment over several seeds."""

from easnn.sweep.runner import PROGRAM, SweepRunner, sweep_devices
from easnn.sweep.sweep_file import Sweep, SweepRun, read_sweep
from easnn.sweep.sweep_folder import SweepFolder
from easnn.sweep.sweep_table import write_table

__all__ = [
    "PROGRAM",
    "Sweep",
    "SweepFolder",
    "SweepRun",
    "SweepRunner",
    "read_sweep",
    "sweep_devices",
    "write_table",
]
