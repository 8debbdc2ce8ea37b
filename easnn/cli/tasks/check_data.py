"""The check of a dataset without training."""

from __future__ import annotations

import argparse
import signal
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context

import numpy as np
from tabulate import tabulate

from easnn.data import SPLITS, LabelSource
from easnn.data.survey import (
    Problem,
    RecordingSurvey,
    event_reach_us,
    shared_recordings,
    survey_recording,
)
from easnn.events import native_calls
from easnn.exp import EventExp, get_exp
from easnn.utils.errors import DataError, EasnnError
from easnn.utils.files import write_json

MAX_PRINTED = 10  # problems of each kind


def check(options: argparse.Namespace) -> list[Problem]:
    """Check the dataset, print a report and return the problems.

    Raises:
        ConfigError: if a key is wrong.
        OutputError: if the JSON file cannot be written.
    """
    named = options.name is not None or options.exp_file is not None
    experiment = get_exp(options.exp_file, options.name) if named else EventExp()
    experiment.merge(options.pairs)
    problems: list[Problem] = []
    splits: dict[str, list[RecordingSurvey]] = {}
    class_names: tuple[str, ...] = ()
    for split in SPLITS:
        needed = split in (*experiment.train_splits, experiment.eval_split)
        try:
            source = experiment.get_source(split)
        except DataError as error:
            problems.append(Problem("split not readable", split, str(error), fatal=needed))
            continue
        class_names = source.class_names
        reach_us = event_reach_us(source, experiment.window, experiment.Tl)
        splits[split] = survey_source(source, reach_us, options.processes)
        problems += [problem for survey in splits[split] for problem in survey.problems]
        if not any(survey.frames for survey in splits[split]):
            problems.append(
                Problem("split without labels", split, "nothing is labelled", fatal=needed)
            )
    problems += shared_recordings(splits)
    if named or "num_classes" in options.pairs[::2]:
        problems += _misfits(experiment)
    print(report(splits, class_names, problems))
    if options.json is not None:
        write_json(
            options.json,
            {
                "data_name": experiment.data_name,
                "data_dir": str(experiment.data_root()),
                "class_names": class_names,
                "splits": {
                    split: [
                        {k: v for k, v in asdict(survey).items() if k != "problems"}
                        for survey in surveys
                    ]
                    for split, surveys in splits.items()
                },
                "problems": [asdict(problem) for problem in problems],
            },
        )
    return problems


def survey_source(
    source: LabelSource, reach_us: int | None, processes: int
) -> list[RecordingSurvey]:
    """Return the surveys of all recordings in order, computed by ``processes`` processes."""
    count = len(source.recordings)
    if processes <= 1:
        return _survey_some(source, reach_us, range(count))
    parts = [range(first, count, processes) for first in range(processes)]
    surveys: list[RecordingSurvey | None] = [None] * count
    native_calls.library()  # a warning about it comes from here, not from each process
    # The interrupt key ends these processes without a traceback; they write no files.
    with ProcessPoolExecutor(
        processes,
        get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_DFL),
    ) as pool:
        results = pool.map(_survey_some, [source] * processes, [reach_us] * processes, parts)
        for part, found in zip(parts, results, strict=True):
            surveys[part.start :: processes] = found
    return [survey for survey in surveys if survey is not None]


def report(
    splits: Mapping[str, Sequence[RecordingSurvey]],
    class_names: Sequence[str],
    problems: Sequence[Problem],
) -> str:
    """Return the contents of the splits and the problems as text for a terminal."""
    parts = []
    if splits:
        parts.append(
            tabulate([_split_row(*item) for item in splits.items()], headers="keys", **_PLAIN)
        )
        counts = {
            split: np.sum([s.boxes for s in surveys], axis=0) for split, surveys in splits.items()
        }
        rows = [
            {"class": name, **{f"{split} boxes": f"{counts[split][n]:,}" for split in splits}}
            for n, name in enumerate(class_names)
        ]
        parts.append(tabulate(rows, headers="keys", **_PLAIN))
    parts += _problem_lists(problems)
    fatal = sum(problem.fatal for problem in problems)
    parts.append(
        f"Training would not work: {fatal} of {len(problems)} problems would stop it."
        if fatal
        else f"Training would work. Problems that would not stop it: {len(problems)}."
    )
    return "\n\n".join(parts)


_PLAIN = {"disable_numparse": True, "stralign": "right"}


def _survey_some(
    source: LabelSource, reach_us: int | None, numbers: range
) -> list[RecordingSurvey]:
    return [survey_recording(source, source.recordings[number], reach_us) for number in numbers]


def _misfits(experiment: EventExp) -> list[Problem]:
    """Return the errors that training with the experiment would raise for its keys and data."""
    problems = []
    for splits, opened in (
        (experiment.train_splits, experiment.get_train_dataset),
        ((experiment.eval_split,), lambda: experiment.get_dataset([experiment.eval_split])),
    ):
        try:
            experiment.validate()
            opened()
        except EasnnError as error:
            problems.append(
                Problem("experiment does not fit", "+".join(splits), str(error), fatal=True)
            )
    return problems


def _split_row(split: str, surveys: Sequence[RecordingSurvey]) -> dict[str, str]:
    seconds = np.array([survey.duration_us for survey in surveys]) / 1e6
    histograms = sum(survey.histograms for survey in surveys)
    rates = np.array([survey.events for survey in surveys]) / 1e6 / np.maximum(seconds, 1e-6)
    return {
        "split": split,
        "recordings": f"{len(surveys):,}",
        **({"histograms": f"{histograms:,}"} if histograms else {}),
        "events": f"{sum(survey.events for survey in surveys):,}",
        "labelled frames": f"{sum(survey.frames for survey in surveys):,}",
        "boxes": f"{sum(sum(survey.boxes) for survey in surveys):,}",
        "hours": f"{seconds.sum() / 3600:.3f}",
        "seconds: median (range)": _spread(seconds),
        "Mev/s: median (range)": _spread(rates),
    }


def _spread(values: np.ndarray) -> str:
    return f"{np.median(values):.3f} ({values.min():.3f} to {values.max():.3f})"


def _problem_lists(problems: Sequence[Problem]) -> list[str]:
    by_kind: dict[tuple[bool, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        by_kind[not problem.fatal, problem.kind].append(problem)
    texts = []
    for (harmless, kind), found in sorted(by_kind.items()):
        lines = [f"{'note' if harmless else 'ERROR'}: {kind}: {len(found)}"]
        lines += [f"  {problem.where}: {problem.detail}" for problem in found[:MAX_PRINTED]]
        if len(found) > MAX_PRINTED:
            lines.append(f"  … and {len(found) - MAX_PRINTED} more (--json FILE lists all)")
        texts.append("\n".join(lines))
    return texts
