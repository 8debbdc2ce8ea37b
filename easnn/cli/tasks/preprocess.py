"""Preprocessing of raw recordings as RVT does."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing

from tabulate import tabulate
from tqdm import tqdm

from easnn.data import SPLITS
from easnn.data.dataset_json import marked_incomplete
from easnn.data.rvt import RULES, Outcome, Status, Task, plan_tasks, run_tasks
from easnn.utils.errors import ConfigError, DataError, OutputError
from easnn.utils.locks import only_one


def preprocess(options: argparse.Namespace) -> None:
    """Preprocess the recordings and print a summary.

    Raises:
        ConfigError: if an option is wrong.
        DataError: if some recordings could not be preprocessed, raised after all others are done,
            or no label is left.
        OutputError: if the output cannot be written.
    """
    if options.processes < 1:
        raise ConfigError(f"`--processes` must be at least 1, but is {options.processes}.")
    splits = (
        options.splits
        or [split for split in SPLITS if (options.input / split).is_dir()]
        or [*SPLITS]
    )
    tasks = plan_tasks(
        options.input,
        options.output,
        RULES[options.data_name],
        splits,
        drop_invalid=options.drop_invalid,
    )
    with only_one(options.output) as lock:
        if lock is None:
            raise OutputError(
                f"Another process is preprocessing to {options.output}. Wait until it ends, or "
                "write to another folder."
            )
        with marked_incomplete(options.output):
            done = run_with_bar(tasks, min(options.processes, len(tasks)))
    print(report(done, splits))
    failed = sum(outcome.status is Status.FAILED for outcome in done.values())
    if failed:
        raise DataError(
            f"{failed} of {len(tasks)} recordings could not be preprocessed, see above."
        )
    if all(outcome.status is Status.UNLABELLED for outcome in done.values()):
        raise DataError(
            f"No recording of {options.input} has a label that the filters of {options.data_name} "
            "keep, so no sequence was written. Check that it is this dataset "
            "(`easnn check-data` counts its boxes)."
        )


def run_with_bar(tasks: Sequence[Task], processes: int) -> dict[Task, Outcome]:
    """Run all tasks with a progress bar and return their outcomes; failures are printed.

    Raises:
        OutputError: if the output cannot be written.
    """
    done: dict[Task, Outcome] = {}
    start = time.perf_counter()
    with (
        tqdm(desc="preprocessing", total=len(tasks), unit="recording") as bar,
        closing(run_tasks(tasks, processes)) as results,
    ):
        for task, outcome in results:
            done[task] = outcome
            if outcome.status is Status.FAILED:
                bar.write(f"failed: {outcome.error}", file=sys.stderr)
            bar.set_postfix_str(_rates(done, time.perf_counter() - start), refresh=False)
            bar.update()
    return done


def report(done: Mapping[Task, Outcome], splits: Sequence[str]) -> str:
    """Return a table of the outcomes by split, for a terminal."""
    rows = []
    for split in splits:
        outcomes = [outcome for task, outcome in done.items() if task.split == split]
        counts = {status.value: sum(o.status is status for o in outcomes) for status in Status}
        sizes = {
            "labelled frames": sum(o.frames for o in outcomes),
            "boxes": sum(o.boxes for o in outcomes),
            "histograms": sum(o.histograms for o in outcomes),
            "events read": sum(o.events for o in outcomes),
        }
        numbers = {"recordings": len(outcomes), **counts, **sizes}
        rows.append({"split": split, **{name: f"{number:,}" for name, number in numbers.items()}})
    return tabulate(rows, headers="keys", disable_numparse=True, stralign="right")


def _rates(done: Mapping[Task, Outcome], seconds: float) -> str:
    made = [outcome for outcome in done.values() if outcome.status is Status.MADE]
    histograms, events = sum(o.histograms for o in made), sum(o.events for o in made)
    return f"{histograms / seconds:.0f} histograms/s, {events / seconds / 1e6:.1f} Mev/s"
