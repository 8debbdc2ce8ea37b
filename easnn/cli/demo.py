"""Draw the detections of a checkpoint in a recording: ``easnn demo``."""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from loguru import logger
from tabulate import tabulate

from easnn.analysis import (
    CLIP_FORMATS,
    Playback,
    RecordingReport,
    SamplerView,
    open_playback,
    sampler_numbers,
    write_recording_pictures,
)
from easnn.analysis.curves import PICTURES
from easnn.cli.arguments import add_runtime_option, exit_code_of, plain_parser, sensor_size
from easnn.data.prophesee_layout import BOXES_SUFFIX, EVENTS_SUFFIX
from easnn.events import Recording
from easnn.inference import Predictor
from easnn.inference.predictor import CONFIDENCE
from easnn.representations import FrameSpec
from easnn.utils.errors import ConfigError, DataError
from easnn.utils.files import write_json
from easnn.utils.logging import setup_logging

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
        type=Path,
        metavar="RECORDING",
        help="DAT, RAW (EVT2, EVT2.1, EVT3), HDF5, AEDAT4, N-MNIST .bin or npz file; its labels "
        f"are read from NAME{BOXES_SUFFIX} if that is next to NAME{EVENTS_SUFFIX} (or another "
        "suffix)",
    )
    parser.add_argument(
        "-c", "--ckpt", type=Path, required=True, metavar="FILE", help="checkpoint of a run"
    )
    parser.add_argument(
        "-f",
        "--exp_file",
        type=Path,
        metavar="FILE",
        help="experiment file of the training, if it defines more than keys",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help=f"output folder (default: {PICTURES}/NAME next to the checkpoint)",
    )
    parser.add_argument(
        "--sensor-size",
        type=sensor_size,
        metavar="HxW",
        help="height and width of the sensor in pixels (default: from the header, or from the "
        "events)",
    )
    detections = parser.add_argument_group("detections")
    detections.add_argument(
        "--conf",
        type=_share,
        default=CONFIDENCE,
        metavar="X",
        help="minimum score (default: %(default)s)",
    )
    detections.add_argument(
        "--nms",
        type=_share,
        metavar="X",
        help="IoU threshold of NMS (default: `nmsthre`)",
    )
    detections.add_argument(
        "--fuse", action="store_true", help="fold every batch norm into the convolution before it"
    )
    add_runtime_option(detections)
    detections.add_argument("--fp16", action="store_true", help="mixed precision")
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
    return exit_code_of(lambda: demo(options))


def demo(options: argparse.Namespace) -> None:
    """Detect objects in the recording, write the files and print a summary.

    Raises:
        CheckpointError: if the checkpoint cannot be read or does not fit.
        ConfigError: if its model does not take windows of raw recordings, or has no sampler.
        DataError: if the recording or its labels are wrong.
        OutputError: if a file cannot be written.
    """
    setup_logging()
    if options.sampler and options.runtime != "torch":
        raise ConfigError(
            "`--sampler` needs `--runtime torch`, whose modules have the internal states of the "
            f"sampler, but it is {options.runtime}."
        )
    predictor = Predictor.load(
        options.ckpt,
        confidence=options.conf,
        nms_iou=options.nms,
        fused=options.fuse,
        exp_file=options.exp_file,
        fp16=options.fp16,
        runtime=options.runtime,
    )
    if options.sampler:
        _check_sampler(options, predictor)
    playback = open_playback(options.recording, options.sensor_size, predictor)
    start_us, end_us = _time_range(playback.recording, options)
    directory = options.output or options.ckpt.parent / PICTURES / playback.name
    report = write_recording_pictures(
        directory,
        predictor,
        playback,
        start_us=start_us,
        end_us=end_us,
        step_us=round(1000 * options.step_ms),
        sheets=options.sheets,
        clip_format=options.format,
        sampler=options.sampler,
    )
    about = {
        "recording": str(playback.recording.path),
        "checkpoint": str(options.ckpt),
        "sensor_hw": playback.sensor_hw,
        "window_ms": playback.spec.window,
    }
    of_detections = {
        "step_ms": options.step_ms,
        "confidence": predictor.confidence,
        "nms_iou": predictor.nms_iou,
        "runtime": predictor.runtime,
    }
    files = [*report.files, directory / "detections.json"]
    write_json(files[-1], {**about, **of_detections, "windows": report.windows})
    if report.sampler:
        files.append(directory / "sampler.json")
        write_json(files[-1], {**about, **sampler_record(report.sampler)})
    print(summary(playback, report, files))
    if report.sampler:
        numbers = sampler_numbers(report.sampler)
        print(f"\n{numbers.table()}")
        if warning := numbers.warning():
            logger.warning(warning)


def sampler_record(views: Sequence[SamplerView]) -> dict[str, Any]:
    """Return the statistics of the sampler over all samples and for each, as plain values.

    Args:
        views: the samples, at least one.
    """
    samples = [
        {"time_us": view.time_us, "slices_ms": view.steps_ms, **sampler_numbers([view]).to_dict()}
        for view in views
    ]
    return {"all": sampler_numbers(views).to_dict(), "each": samples}


def summary(playback: Playback, report: RecordingReport, files: Sequence[Path]) -> str:
    """Return a summary of the recording, its detections and the files, for a terminal."""
    height, width = playback.sensor_hw
    parts = ", ".join(f"{part} {ms:.1f}" for part, ms in report.ms_per_window.items())
    about = [
        ("recording", playback.recording.path),
        ("sensor", f"{height}x{width} pixels (height x width)"),
        ("labels", "none" if playback.labels is None else f"{len(playback.labels)} boxes"),
        ("windows", f"{len(report.windows)}, each {_length(playback.spec)}"),
        ("ms per window", f"{sum(report.ms_per_window.values()):.1f} ({parts})"),
        ("files", "\n".join(map(str, files))),
    ]
    hits: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for window in report.windows:
        for detection in window["detections"]:
            hits[detection["class"]].append((window["time_us"], detection["score"]))
    classes = [
        (
            name,
            len(of_class),
            len({time_us for time_us, _ in of_class}),
            max(score for _, score in of_class),
        )
        for name, of_class in sorted(hits.items())
    ]
    found = tabulate(
        classes, headers=["class", "detections", "in windows", "best score"], floatfmt=".2f"
    )
    return f"{tabulate(about, tablefmt='plain')}\n\n{found if classes else 'Nothing was detected.'}"


def _length(spec: FrameSpec) -> str:
    return f"{-spec.window} ms" if spec.window else "the whole recording"


def _time_range(recording: Recording, options: argparse.Namespace) -> tuple[int, int]:
    """Return the start and end of the sliding windows in µs."""
    start_us = recording.first_us + round(1e6 * options.start)
    if start_us > recording.last_us:
        seconds = (recording.last_us - recording.first_us) / 1e6
        raise DataError(
            f"`--start` must be within the {seconds:.3f} s of {recording.path}, but is "
            f"{options.start:g}."
        )
    end_us = recording.last_us + 1
    if options.duration is not None:
        end_us = min(end_us, start_us + math.ceil(1e6 * options.duration))
    return start_us, end_us


def _check_sampler(options: argparse.Namespace, predictor: Predictor) -> None:
    if predictor.model.config.embedding == "count":
        raise ConfigError(
            "`--sampler` needs an embedding with a membrane (arsnn, rsnn, snn), but that of "
            f"{options.ckpt} is count, which only sums the events. Omit `--sampler`."
        )
    if options.sheets < 1:
        raise ConfigError(
            f"`--sheets` must be at least 1 for `--sampler`, but is {options.sheets}."
        )


def _number(text: str, allowed: Callable[[float], bool], expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not allowed(number):
        raise argparse.ArgumentTypeError(f"must be {expected}, but is {text!r}")
    return number


def _share(text: str) -> float:
    return _number(text, lambda x: 0 <= x <= 1, "between 0 and 1")


def _positive(text: str) -> float:
    return _number(text, lambda x: 0 < x < math.inf, "a number above 0")


def _milliseconds(text: str) -> float:
    return _number(text, lambda x: 1 <= x < math.inf, "at least 1")


def _seconds(text: str) -> float:
    return _number(text, lambda x: 0 <= x < math.inf, "a number that is not negative")
