"""Draw the detections of a checkpoint in a recording: ``easnn demo``."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from easnn.cli.arguments import (
    add_detection_options,
    add_recording_options,
    exit_code_of,
    file_path,
    number,
    plain_parser,
)
from easnn.utils.options import BOXES_SUFFIX, CLIP_FORMATS, EVENTS_SUFFIX, PICTURES

DESCRIPTION = """\
Detects objects in sliding windows of a recording, of the length that the checkpoint was trained
with. Writes a clip, sheets (events, output of the sampler, labels, detections) and all detections
as JSON.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = plain_parser(DESCRIPTION)
    parser.add_argument(
        "recording",
        type=file_path,
        metavar="RECORDING",
        help="DAT, RAW (EVT2, EVT2.1, EVT3), HDF5, AEDAT4, N-MNIST .bin or npz file; its labels "
        f"are read from NAME{BOXES_SUFFIX} if that is next to NAME{EVENTS_SUFFIX} (or another "
        "suffix)",
    )
    parser.add_argument(
        "-c", "--ckpt", type=file_path, required=True, metavar="FILE", help="checkpoint of a run"
    )
    parser.add_argument(
        "-f",
        "--exp_file",
        type=file_path,
        metavar="FILE",
        help="experiment file of the training, if it defines more than keys",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=file_path,
        metavar="DIR",
        help=f"output folder (default: {PICTURES}/NAME next to the checkpoint)",
    )
    add_recording_options(parser, default_size="from the header, or from the events")
    detections = parser.add_argument_group("detections")
    add_detection_options(detections)
    time = parser.add_argument_group("time")
    time.add_argument(
        "--step-ms",
        type=_milliseconds,
        default=50,
        metavar="X",
        help="time between two windows (default: %(default)s)",
    )
    time.add_argument(
        "--start",
        type=_seconds,
        default=0.0,
        metavar="S",
        help="start in seconds after the first event (default: 0)",
    )
    time.add_argument(
        "--duration", type=_positive, metavar="S", help="duration in seconds (default: to the end)"
    )
    pictures = parser.add_argument_group("pictures")
    pictures.add_argument(
        "--format",
        choices=CLIP_FORMATS,
        default=CLIP_FORMATS[0],
        help="format of the clip (default: %(default)s)",
    )
    pictures.add_argument(
        "--sheets",
        type=int,
        default=4,
        metavar="N",
        help="maximum number of sheets (default: %(default)s)",
    )
    pictures.add_argument(
        "--sampler",
        action="store_true",
        help="also write a sheet of the sampler for each sheet, and its statistics as JSON",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = make_parser().parse_args(argv)
    from easnn.cli.tasks.demo import demo

    return exit_code_of(lambda: demo(options))


def _positive(text: str) -> float:
    return number(text, lambda x: 0 < x < math.inf, "a number above 0")


def _milliseconds(text: str) -> float:
    return number(text, lambda x: 1 <= x < math.inf, "at least 1")


def _seconds(text: str) -> float:
    return number(text, lambda x: 0 <= x < math.inf, "a number that is not negative")
