"""Evaluate a checkpoint: ``easnn eval``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from easnn.cli.arguments import SetKey, add_runtime_option, build_parser, file_path, parse

DESCRIPTION = (
    "Evaluate a checkpoint. It contains its experiment, so `-c FILE` is enough. The result is "
    "printed and written next to the checkpoint."
)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = build_parser(
        DESCRIPTION,
        checkpoint_help="checkpoint (default: best_ckpt.pth of the run directory of -n or -f)",
    )
    group = parser.add_argument_group("evaluation")
    group.add_argument("--conf", action=SetKey, key="test_conf", metavar="X", help="minimum score")
    group.add_argument(
        "--nms", action=SetKey, key="nmsthre", metavar="X", help="IoU threshold of NMS"
    )
    group.add_argument(
        "--tsize",
        action=SetKey,
        key="test_size",
        type=_size,
        metavar="N",
        help="input size, N or HEIGHT,WIDTH",
    )
    group.add_argument("--seed", action=SetKey, key="seed", metavar="N", help="random seed")
    group.add_argument(
        "--test", action=SetKey, pairs=("eval_split", "test"), help="evaluate on the test split"
    )
    group.add_argument(
        "--eval_proh",
        action=SetKey,
        pairs=("eval_proph", "True"),
        help="Prophesee protocol instead of COCO",
    )
    group.add_argument(
        "--both", action=SetKey, pairs=("eval_both", "True"), help="both protocols, side by side"
    )
    group.add_argument(
        "--fuse", action="store_true", help="fold every batch norm into the convolution before it"
    )
    group.add_argument(
        "--binary",
        action="store_true",
        help="compute integer neurons (`neuron` ilif) with binary spikes: each number of spikes in "
        "slots of 0 or 1",
    )
    add_runtime_option(group)
    group.add_argument(
        "--speed",
        action="store_true",
        help="measure the time of input, network and postprocessing in ms per frame",
    )
    group.add_argument(
        "--strata",
        action="store_true",
        help="AP also by silence, speed and visibility (if the labels say them), by windows since "
        "the start of the recording, and by size; with a picture",
    )
    group.add_argument(
        "--save-detections",
        type=file_path,
        metavar="PATH",
        help="also write the detections: results of COCO (a file .json, with the ground truth "
        "beside it), or a NAME_bbox.npy for each recording (a folder); `easnn score` reads them",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = parse(make_parser(), argv)
    from easnn.cli.tasks.eval import evaluate
    from easnn.cli.tasks.experiment import run_command

    return run_command(evaluate, options)


def _size(text: str) -> str:
    return text if "," in text else f"{text},{text}"
