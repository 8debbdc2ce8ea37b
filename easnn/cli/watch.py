"""Detect objects in a stream of events: ``easnn watch``."""

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
from easnn.utils.options import PACES, STREAM_FORMATS

DESCRIPTION = """\
Detects objects in sliding windows of a stream, while it arrives. Each window becomes a line of
JSON. Windows that are due while older ones still wait are dropped whole, and counted.

SOURCE is one of
  FILE                    a recording of any format, played at its own speed
  -                       standard input
  udp://[HOST]:PORT       datagrams that are sent to this port
  tcp://HOST:PORT         the bytes of a sender that listens there
  tcp-listen://[HOST]:PORT  the bytes of a sender that connects to this port
A stream begins with the header of a RAW or DAT file, or is words without a header (--format).
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = plain_parser(DESCRIPTION)
    parser.add_argument("source", metavar="SOURCE", help="where the events come from")
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
    stream = parser.add_argument_group("stream")
    stream.add_argument(
        "--format",
        choices=STREAM_FORMATS,
        help="encoding of a stream without a header (default: as its header says)",
    )
    add_recording_options(stream, default_size="from the header, or from the events of a file")
    stream.add_argument(
        "--pace",
        choices=PACES,
        default=PACES[0],
        help="live: a recording is played at its own speed, and windows are dropped if they cannot "
        "be computed in time; fast: as fast as possible, without drops (default: %(default)s)",
    )
    stream.add_argument(
        "--idle-s",
        type=_seconds,
        metavar="S",
        help="a port ends so many seconds after a packet without another (default: never)",
    )
    windows = parser.add_argument_group("windows")
    windows.add_argument(
        "--every-ms",
        type=_seconds,
        metavar="MS",
        help="time between the ends of two windows (default: the length of a window)",
    )
    windows.add_argument(
        "--max-waiting",
        type=int,
        default=4,
        metavar="N",
        help="how many windows may be due before the oldest is dropped (default: %(default)s)",
    )
    add_detection_options(parser.add_argument_group("detections"))
    output = parser.add_argument_group("output")
    output.add_argument(
        "-o",
        "--output",
        type=file_path,
        metavar="FILE",
        help="write the lines of JSON to this file (default: to the standard output, and the table "
        "to the standard error)",
    )
    output.add_argument(
        "--udp", metavar="HOST:PORT", help="also send each line as a datagram to this address"
    )
    output.add_argument(
        "--boxes", type=file_path, metavar="FILE", help="also write all boxes to this .npy file"
    )
    output.add_argument(
        "--json", type=file_path, metavar="FILE", help="also write the table's numbers as JSON"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = make_parser().parse_args(argv)
    from easnn.cli.tasks.watch import watch

    return exit_code_of(lambda: watch(options))


def _seconds(text: str) -> float:
    return number(text, lambda x: 0 < x < math.inf, "a number above 0")
