"""Detections of a checkpoint in a recording: files and a summary."""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loguru import logger
from tabulate import tabulate

from easnn.analysis import (
    Playback,
    RecordingReport,
    SamplerView,
    open_playback,
    sampler_numbers,
    write_recording_pictures,
)
from easnn.events import Recording
from easnn.inference import Predictor
from easnn.representations import FrameSpec
from easnn.utils.device import training_device
from easnn.utils.errors import ConfigError, DataError
from easnn.utils.files import write_json
from easnn.utils.logging import setup_logging
from easnn.utils.options import PICTURES
from easnn.utils.precision import mixed_precision


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
        precision=mixed_precision(training_device()) if options.fp16 else None,
        runtime=options.runtime,
    )
    if options.sampler:
        _check_sampler(options, predictor)
    playback = open_playback(
        options.recording,
        options.sensor_size,
        predictor,
        stream=options.stream,
        drop_invalid=options.drop_invalid,
    )
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
        "precision": predictor.precision,
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
