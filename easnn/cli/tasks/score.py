"""Scoring of detections that are read from files."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from tabulate import tabulate

from easnn.cli.arguments import check_result_file
from easnn.evaluation import (
    PROTOCOLS,
    EvaluationResult,
    Evaluator,
    GroundTruth,
    SideBySide,
    build_evaluator,
    read_detections,
    read_ground_truth,
)
from easnn.evaluation.detection_files import about_path
from easnn.utils.errors import ConfigError, DataError
from easnn.utils.files import read_text, write_json

COLUMNS = ("detections", "AP", "AP50", "AP75", "AR100", "M parameters", "mJ/frame", "ms/frame")


def score(options: argparse.Namespace) -> None:
    """Score all detections, print the results and write them.

    Raises:
        ConfigError: if an option is wrong.
        DataError: if a file is wrong or the detections do not belong to the ground truth.
        OutputError: if the JSON file cannot be written.
    """
    check_result_file(options.json, "--json")
    if not (math.isfinite(options.tolerance_ms) and options.tolerance_ms >= 0):
        raise ConfigError(
            f"`--tolerance-ms` must be a number of at least 0, but is {options.tolerance_ms:g}."
        )
    truth = _named(read_ground_truth(options.truth), options)
    evaluator = _evaluator(truth, options)
    found: list[tuple[Path, EvaluationResult, dict[str, Any]]] = []
    for path in options.detections:
        evaluator.reset()
        evaluator.process(
            read_detections(path, truth, tolerance_us=round(options.tolerance_ms * 1000))
        )
        found.append((path, evaluator.evaluate(), _about(path)))
    print(found[0][1].table() if len(found) == 1 else _comparison(found))
    for path, _, about in found:
        if about.get("split") in about.get("train_splits", ()):
            print(
                f"\n{path}: these are detections in the split `{about['split']}`, on which the "
                "detector was trained. They do not say how good it is."
            )
    if options.json is not None:
        results = [
            {"detections": str(path), "about": about, **result.to_dict()}
            for path, result, about in found
        ]
        write_json(options.json, {"ground_truth": str(options.truth), "results": results})


def _named(truth: GroundTruth, options: argparse.Namespace) -> GroundTruth:
    """Return the ground truth with the names of classes that were given."""
    if options.classes is None:
        return truth
    names = tuple(name.strip() for name in options.classes.split(","))
    if truth.categories:
        raise ConfigError(
            f"`--classes` is for folders, but {truth.path} names its categories itself."
        )
    if len(names) < len(truth.class_names):
        raise ConfigError(
            f"`--classes` must name all {len(truth.class_names)} classes of {truth.path}, but "
            f"names {len(names)}."
        )
    return replace(truth, class_names=names)


def _evaluator(truth: GroundTruth, options: argparse.Namespace) -> Evaluator:
    protocols = PROTOCOLS if options.protocol == "both" else (options.protocol,)
    sensor_hw = options.sensor_size or truth.sensor_hw
    if "prophesee" in protocols and not truth.timed:
        raise DataError(
            f"The Prophesee protocol leaves out the first 0.5 s of a recording, but the images of "
            f"{truth.path} have no `sequence` and `time_us`."
        )
    if "prophesee" in protocols and sensor_hw is None:
        raise ConfigError(
            "The smallest box of the Prophesee protocol depends on the sensor: give its height and "
            "width by `--sensor-size`, like 240x304."
        )
    evaluators = [
        build_evaluator(
            protocol,
            truth.class_names,
            split=str(truth.path),
            sensor_hw=sensor_hw or (0, 0),  # of no meaning for coco
        )
        for protocol in protocols
    ]
    return SideBySide(evaluators) if len(evaluators) > 1 else evaluators[0]


def _about(path: Path) -> dict[str, Any]:
    """Return what is known about the detector; nothing of those that easnn did not run."""
    about = about_path(path)
    if not about.is_file():
        return {}
    try:
        content = json.loads(read_text(about))
    except ValueError as error:
        raise DataError(f"{about} is no JSON file: {error}. Remove it.") from error
    if not isinstance(content, dict):
        raise DataError(f"{about} must hold an object, but does not. Remove it.")
    return content


def _comparison(found: list[tuple[Path, EvaluationResult, dict[str, Any]]]) -> str:
    """Return a table of each protocol, the best detections first."""
    tables = []
    for number in range(1 + len(found[0][1].beside)):
        rows = []
        for path, result, about in found:
            scored = (result, *result.beside)[number]
            measures = (scored.ap, scored.ap50, scored.ap75, scored.ar100)
            others = (
                _scaled(about.get("parameters"), 1e-6),
                _scaled(about.get("energy_pj"), 1e-9),
                _scaled(about.get("ms_per_frame"), 1.0),
            )
            rows.append((str(path), measures, others))
        rows.sort(key=lambda row: -1.0 if math.isnan(row[1][0]) else row[1][0], reverse=True)
        protocol = (found[0][1], *found[0][1].beside)[number].protocol
        tables.append(
            tabulate(
                [
                    (name, *(_shown(m, 4) for m in measures), *(_shown(o, 2) for o in others))
                    for name, measures, others in rows
                ],
                headers=(f"{protocol}: {COLUMNS[0]}", *COLUMNS[1:]),
                disable_numparse=True,
            )
        )
    return "\n\n".join(tables)


def _scaled(value: object, factor: float) -> float:
    return value * factor if isinstance(value, int | float) else math.nan


def _shown(number: float, digits: int) -> str:
    return "–" if math.isnan(number) else f"{number:.{digits}f}"
