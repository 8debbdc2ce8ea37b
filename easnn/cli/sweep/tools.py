"""The command lines with which a sweep trains and evaluates."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from easnn.cli.sweep.folder import SweepFolder
from easnn.cli.sweep.plan import Sweep, SweepRun


@dataclass(frozen=True)
class Tools:
    """The programs that train and evaluate, as the first words of a command."""

    train: tuple[str, ...] = (sys.executable, "-m", "easnn", "train")
    evaluate: tuple[str, ...] = (sys.executable, "-m", "easnn", "eval")

    def training(self, sweep: Sweep, folder: SweepFolder, run: SweepRun) -> list[str]:
        """Return the command that trains a run, or goes on with it if it left a checkpoint."""
        resume = ["--resume"] if folder.run(run).latest.is_file() else []
        return [*self.train, *_options(sweep), *resume, *_pairs(folder, run)]

    def evaluation(self, sweep: Sweep, folder: SweepFolder, run: SweepRun) -> list[str]:
        """Return the command that evaluates the run's checkpoint on the split of the sweep."""
        checkpoint = ["-c", str(folder.checkpoint(run))]
        pairs = _pairs(folder, run, eval_split=sweep.settings.split)
        return [*self.evaluate, *_options(sweep), *checkpoint, *pairs]


def _options(sweep: Sweep) -> list[str]:
    settings = sweep.settings
    source = (
        ["-n", settings.experiment] if settings.experiment is not None else ["-f", str(settings.exp_file)]
    )
    return [*source, "-b", str(settings.batch_size), *(["--fp16"] if settings.fp16 else [])]


def _pairs(folder: SweepFolder, run: SweepRun, **others: str) -> list[str]:
    own = {"output_dir": str(folder.path), "exp_name": run.name, "seed": str(run.seed)}
    return [word for pair in {**run.texts, **own, **others}.items() for word in pair]
