"""Score detections of any program: ``easnn score``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from easnn.cli.arguments import exit_code_of, file_path, plain_parser, sensor_size

DESCRIPTION = """\
Scores detections against ground truth by the protocols of `easnn eval`. Both are files of COCO
(.json: ground truth, or results), or folders of Prophesee's arrays (NAME_bbox.npy, one for each
recording). With several detections, a table compares them, the best one first.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = plain_parser(DESCRIPTION)
    parser.add_argument("truth", type=file_path, metavar="GT", help="the ground truth")
    parser.add_argument(
        "detections", type=file_path, nargs="+", metavar="DETECTIONS", help="what is scored"
    )
    parser.add_argument(
        "--protocol",
        choices=("coco", "prophesee", "both"),
        default="coco",
        help="which protocol; with both, the first one is coco (default: %(default)s)",
    )
    parser.add_argument(
        "--sensor-size",
        type=sensor_size,
        metavar="HxW",
        help="height and width of the sensor, on which the smallest box of the Prophesee protocol "
        "depends (default: that of the images of COCO; a folder does not say it)",
    )
    parser.add_argument(
        "--classes", metavar="A,B,...", help="names of the classes 0, 1, ... of a folder"
    )
    parser.add_argument(
        "--tolerance-ms",
        type=float,
        default=50.0,
        metavar="MS",
        help="how far from a label the detections of a recording may be (default: %(default)g)",
    )
    parser.add_argument(
        "--json", type=file_path, metavar="FILE", help="also write all results to this file"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = make_parser().parse_args(argv)
    from easnn.cli.tasks.score import score

    return exit_code_of(lambda: score(options))
