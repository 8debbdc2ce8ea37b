"""Make a synthetic event dataset: ``tools/make_synthetic.py``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from easnn.cli.arguments import sensor_size
from easnn.cli.console import exit_code_of
from easnn.simulator import (
    CameraConfig,
    DatasetConfig,
    RecordingConfig,
    SplitSummary,
    write_synthetic_dataset,
)

MOST_PROCESSES = 8  # unless asked for

DESCRIPTION = """\
Simulates an event camera before streets with cars and pedestrians, and writes a dataset in the
layout of the raw Gen1 dataset: OUTPUT/{train,val,test}/NAME_td.dat and NAME_bbox.npy (boxes every
250 ms; class 0 car, 1 pedestrian). The same options give the same files. An interrupted run goes on
when it is repeated.
"""

OPTIONS: dict[str, tuple[Any, dict[str, str]]] = {
    "dataset": (
        DatasetConfig(),
        {
            "train": "training recordings",
            "val": "validation recordings",
            "test": "test recordings",
            "seed": "another seed makes other recordings",
        },
    ),
    "recordings": (
        RecordingConfig(),
        {
            "duration_s": "length of a recording in seconds",
            "frames_per_second": "pictures that the camera interpolates between",
        },
    ),
    "camera": (
        CameraConfig(),
        {
            "threshold": "change of the log intensity that makes an event",
            "mismatch": "standard deviation of the thresholds over the pixels",
            "refractory_us": "time for which a pixel is blind after an event",
            "noise_hz": "events without a cause, per pixel and second",
            "hot_fraction": "part of the pixels that make noise at a higher rate",
            "hot_hz": "that rate",
        },
    ),
}
"""Title of a group of options, the defaults, and what each option means."""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "output", metavar="OUTPUT", help="directory of the dataset: new, empty, or to be continued"
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=min(MOST_PROCESSES, os.cpu_count() or 1),
        metavar="N",
        help="processes that simulate, without effect on the files (default: one per core, here %(default)s)",
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
                metavar="N" if isinstance(default, int) else "X",
                help=f"{meaning} (default: %(default)s)",
            )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the dataset, print what it consists of, and return the exit code."""
    options = make_parser().parse_args(arguments)
    return exit_code_of(lambda: _make(options))


def _make(options: argparse.Namespace) -> None:
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
    table: str = tabulate(rows, headers="keys", disable_numparse=True, colalign=alignment)
    return table
