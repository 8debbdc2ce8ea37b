"""Trainings that are killed, one after another, until there were enough kills."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from loguru import logger

from easnn.soak import small_run
from easnn.soak.killed_run import Durations, KilledRun
from easnn.soak.plan import draw_kills
from easnn.soak.report import RunRecord, SoakReport
from easnn.soak.training import Program, Trainings
from easnn.utils.errors import OutputError, TrainingError
from easnn.utils.files import make_directory, temporary_folder
from easnn.utils.meters import format_duration

KILLS_PER_RUN = 8
"""More of them compare more rarely; fewer of them train more, because each run ends with a start
that is not killed."""


class Soak:
    """Kills trainings and compares them with one that is left alone.

    Args:
        program: the program that trains.
        folder: where to work: a new or an empty folder. Runs that lost something stay there.
        kills: number of kills by number of processes of the training.
        seed: draws the moments.

    Raises:
        OutputError: if the folder is not empty or not writable.
    """

    def __init__(
        self, program: Program, folder: Path, *, kills: Mapping[int, int], seed: int
    ) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(f"{folder} must be an empty folder or none (--keep), but is not.")
        self._program = program
        self._folder = make_directory(folder)
        self._kills = dict(kills)
        self._seed = seed
        self._runs: list[RunRecord] = []
        self._begin = time.monotonic()

    def run(self) -> SoakReport:
        """Make all kills.

        Raises:
            TrainingError: if the training fails without being killed.
            OutputError: if a file cannot be written.
        """
        small_run.write_dataset(self._folder / "data")
        with temporary_folder("easnn-soak-") as scratch:
            trainings = Trainings(self._program, scratch)
            for processes, kills in self._kills.items():
                self._soak(trainings, processes, kills)
        shutil.rmtree(self._folder / "data")
        return SoakReport(self._seed, self._runs)

    def _soak(self, trainings: Trainings, processes: int, count: int) -> None:
        """Make ``count`` kills of trainings of so many processes."""
        folder = make_directory(self._folder / f"processes-{processes}")
        durations = Durations({})

        def new_run() -> KilledRun:
            return KilledRun(
                trainings,
                dataset=self._folder / "data",
                path=folder / "run",
                output=folder / "output.txt",
                processes=processes,
                durations=durations,
            )

        alone = new_run()
        if problems := alone.complete().problems:
            raise TrainingError(f"A training that was not killed {problems[0]}")
        reference = folder / "reference"
        alone.keep(reference)
        plan = list(itertools.islice(draw_kills(self._seed, processes), count))
        while plan:
            run = new_run()
            record = run.complete(plan[:KILLS_PER_RUN], reference / "run")
            plan = plan[len(record.kills) :]
            if not record.kills:
                record.missed, plan = 1, plan[1:]
            self._runs.append(record)
            if record.problems:
                run.keep(folder / f"lost-{len(self._runs)}")
            else:
                run.remove()
            self._log(record)
        if not any(record.kept for record in self._runs if record.processes == processes):
            shutil.rmtree(folder)

    def _log(self, record: RunRecord) -> None:
        if record.problems:
            logger.error(
                "Something was lost in {}: {}", record.kept, "; ".join(record.problems[:3])
            )
        made = sum(len(run.kills) for run in self._runs)
        total = sum(self._kills.values())
        seconds = time.monotonic() - self._begin
        logger.info(
            "{} of {} kills in {} runs, {} runs lost something | ETA {}",
            made,
            total,
            len(self._runs),
            sum(bool(run.problems) for run in self._runs),
            format_duration(seconds / max(made, 1) * max(total - made, 0)),
        )
