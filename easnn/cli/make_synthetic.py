"""Simulate an event dataset: ``easnn make-synthetic``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from easnn.cli.arguments import exit_code_of, file_path, plain_parser, sensor_size
from easnn.simulator import CameraConfig, DatasetConfig, RecordingConfig

if TYPE_CHECKING:
    from easnn.simulator import SplitSummary

MAX_DEFAULT_PROCESSES = 8

DESCRIPTION = """\
Simulates an event camera that watches streets with cars and pedestrians, and writes a dataset in
the layout of raw Gen1: OUTPUT/{train,val,test}/NAME_td.dat and NAME_bbox.npy (boxes every 250 ms;
class 0 car, 1 pedestrian). The same options give the same files. To resume an interrupted run,
repeat the command.
"""

OPTIONS: dict[str, tuple[Any, dict[str, str]]] = {
    "dataset": (
        DatasetConfig(),
        {
            "train": "number of training recordings",
            "val": "number of validation recordings",
            "test": "number of test recordings",
            "seed": "random seed of the recordings",
        },
    ),
    "recordings": (
        RecordingConfig(),
        {
            "duration_s": "length of a recording in seconds",
            "frames_per_second": "rendered frames between which the camera interpolates",
            "scenario": "street: everything moves evenly; crossing: cars and pedestrians stop and "
            "start again, by day and by night, and labels say how they move",
        },
    ),
    "camera": (
        CameraConfig(),
        {
            "threshold": "change of log intensity that triggers an event",
            "mismatch": "standard deviation of the threshold across pixels",
            "refractory_us": "refractory period of a pixel after an event in µs",
            "noise_hz": "rate of noise events per pixel and second",
            "hot_fraction": "fraction of hot pixels, which have a higher noise rate",
            "hot_hz": "noise rate of hot pixels",
        },
    ),
}
"""Groups of options by title: the defaults, and the meaning of each option."""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = plain_parser(DESCRIPTION)
    parser.add_argument(
        "output",
        type=file_path,
        metavar="OUTPUT",
        help="dataset folder: new, empty, or one to resume",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=min(MAX_DEFAULT_PROCESSES, os.cpu_count() or 1),
        metavar="N",
        help="parallel processes; the files do not depend on it (default: one per core, here "
        "%(default)s)",
    )
    parser.add_argument(
        "--sensor-size",
        type=sensor_size,
        default=RecordingConfig().sensor_hw,
        metavar="HxW",
        help="height and width of the sensor in pixels (default: 240x304, as Gen1)",
    )
    for title, (defaults, meanings) in OPTIONS.items():
        group = parser.add_argument_group(title)
        for name, meaning in meanings.items():
            default = getattr(defaults, name)
            group.add_argument(
                f"--{name.replace('_', '-')}",
                type=type(default),
                default=default,
                metavar={int: "N", float: "X", str: "NAME"}[type(default)],
                help=f"{meaning} (default: %(default)s)",
            )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the dataset, print a summary, and return the exit code."""
    options = make_parser().parse_args(arguments)
    return exit_code_of(lambda: _make(options), if_interrupted="Repeat the command to resume.")


def _make(options: argparse.Namespace) -> None:
    from easnn.simulator import write_synthetic_dataset

    def chosen(title: str) -> dict[str, Any]:
        return {name: getattr(options, name) for name in OPTIONS[title][1]}

    recording = RecordingConfig(
        sensor_hw=options.sensor_size,
        camera=CameraConfig(**chosen("camera")),
        **chosen("recordings"),
    )
    config = DatasetConfig(recording=recording, **chosen("dataset"))
    print(_table(write_synthetic_dataset(options.output, config, processes=options.processes)))


def _table(summaries: Sequence[SplitSummary]) -> str:
    rows = [
        {
            "split": summary.split,
            "recordings": summary.recordings,
            "events": f"{summary.events:,}",
            **{f"{name} boxes": count for name, count in summary.boxes.items()},
            "Mev/s": f"{summary.events / 1e6 / max(summary.duration_s, 1e-9):.3f}",
        }
        for summary in summaries
    ]
    alignment = ("left", *["right"] * (len(rows[0]) - 1))
    return tabulate(rows, headers="keys", disable_numparse=True, colalign=alignment)
