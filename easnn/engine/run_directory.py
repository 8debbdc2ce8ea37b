"""Files of a run: log, metrics, checkpoints and results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from loguru import logger

from easnn.utils.distributed import barrier, is_main
from easnn.utils.errors import OutputError
from easnn.utils.files import make_directory


class RunDirectory:
    """The paths of all files of a run.

    Args:
        path: ``<output_dir>/<experiment name>``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "train_log.txt"
        self.metrics = path / "metrics.jsonl"
        self.latest = path / "latest_ckpt.pth"
        self.initial = path / "initial_ckpt.pth"
        self.best = path / "best_ckpt.pth"
        self.results = path / "results"
        self.tensorboard = path / "tensorboard"

    def history(self, epoch: int) -> Path:
        """Return the checkpoint after ``epoch`` epochs."""
        return self.path / f"epoch_{epoch}_ckpt.pth"

    def remove_history(self, *, before: int) -> None:
        """Remove the checkpoints of the epochs ``before`` a number of epochs.

        Raises:
            OutputError: if one cannot be removed.
        """
        for path in self.path.glob("epoch_*_ckpt.pth"):
            number = re.fullmatch(r"epoch_(\d+)_ckpt", path.stem)
            if number is not None and int(number[1]) < before:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise OutputError(
                        f"Cannot remove the old checkpoint {path}: {error.strerror}. Check the "
                        "permissions of its folder, or set `max_history` to 0."
                    ) from error

    def result(self, epoch: int) -> Path:
        """Return the evaluation result after ``epoch`` epochs."""
        return self.results / f"epoch_{epoch}.json"

    def evaluation(self, checkpoint: Path, split: str, protocols: Sequence[str]) -> Path:
        """Return the result of evaluating ``checkpoint`` on ``split`` with ``protocols``."""
        return self.results / f"{checkpoint.stem}_{split}_{'_'.join(protocols)}.json"

    @classmethod
    def start(cls, path: Path, *, resume: bool) -> RunDirectory:
        """Create the directory of a run and check that it is writable; every process calls this.

        Nothing is overwritten: unless the run is resumed, the files of an earlier run of the same
        name are moved to the subdirectory ``earlier-1``, ``earlier-2``, ….

        Raises:
            OutputError: if the directory cannot be created, is not writable, or the files of an
                earlier run cannot be moved.
        """
        # A slower process may still read the files of an earlier run.
        barrier("the creation of the run directory")
        run = cls(path)
        if is_main():
            make_directory(path)
            if not resume:
                run._move_earlier_run()
            make_directory(run.results)
        barrier("the start of the run")
        return run

    def _move_earlier_run(self) -> None:
        earlier_runs = {
            path for path in self.path.iterdir() if re.fullmatch(r"earlier-\d+", path.name)
        }
        files = [file for file in self.path.iterdir() if file not in earlier_runs]
        if not files:
            return
        numbers = [int(run.name.removeprefix("earlier-")) for run in earlier_runs]
        target = self.path / f"earlier-{max(numbers, default=0) + 1}"
        try:
            target.mkdir()
            for file in files:
                file.rename(target / file.name)
        except OSError as error:
            raise OutputError(
                f"Cannot move the files of an earlier run to {target}: {error.strerror}. Choose "
                "another experiment name (-expn) or continue that run (--resume)."
            ) from error
        logger.info("The files of an earlier run with this name were moved to {}", target)
