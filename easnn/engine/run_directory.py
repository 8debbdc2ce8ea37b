"""Files of a run: log, metrics, checkpoints and results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Any

from loguru import logger

from easnn.checkpoints import is_own
from easnn.utils.errors import CheckpointError, OutputError
from easnn.utils.files import make_directory, remove_unfinished, write_json
from easnn.utils.options import PICTURES
from easnn.utils.tensor_file import read_tensor_file

MARK = "run directory of easnn"
"""Entry ``mark`` of ``owner.json``; a directory with it belongs to a run of this framework."""

CHECKPOINTS = "*_ckpt.pth"

RUN_FILES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        ".": (
            "train_log.txt",
            "metrics.jsonl",
            "latest_ckpt.pth",
            "best_ckpt.pth",
            "former_best_epoch_*_ckpt.pth",
            "initial_ckpt.pth",
            "epoch_*_ckpt.pth",
        ),
        "results": ("*.json", "*_strata.png"),
        "tensorboard": ("events.out.tfevents.*",),
        "wandb": ("*",),
        PICTURES: ("curves.png", "sheet_*.png", "sampler_*.png", "clip_*.gif", "clip_*.mp4"),
        f"{PICTURES}/*": ("sheet_*.png", "sampler_*.png", "clip_*.gif", "clip_*.mp4", "*.json"),
    }
)
"""Every file that is written to a run directory, by folder; besides ``owner.json`` and the lock.

Nothing else in the directory is ever moved or replaced.
"""

_EARLIER = re.compile(r"earlier-(\d+)")


class RunDirectory:
    """The paths of all files of a run.

    Args:
        path: ``<output_dir>/<experiment name>``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.owner = path / "owner.json"
        self.lock = path / ".run.lock"
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

    def former_best(self, epoch: int) -> Path:
        """Return where the best checkpoint, of ``epoch``, stays when the best starts anew."""
        return self.path / f"former_best_epoch_{epoch}_ckpt.pth"

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

    def energy(self, checkpoint: Path, split: str, *, fused: bool = False) -> Path:
        """Return the operations and energy of ``checkpoint``, or of its fused network."""
        return self.results / f"{checkpoint.stem}_{split}_{'fused_' if fused else ''}energy.json"

    def strata_picture(self, evaluation: Path) -> Path:
        """Return the picture of the strata of the result that is written to ``evaluation``."""
        return evaluation.with_name(f"{evaluation.stem}_strata.png")

    def record(self) -> dict[str, Any]:
        """Return the contents of ``owner.json``, empty if the directory does not carry our mark."""
        try:
            record = json.loads(self.owner.read_text("utf-8"))
        except (OSError, ValueError):  # missing, or not ours
            return {}
        return record if isinstance(record, dict) and record.get("mark") == MARK else {}

    def make_results(self) -> None:
        """Create the folder of results, and remove what killed evaluations left in it.

        Raises:
            OutputError: if it is not writable.
        """
        make_directory(self.results)
        remove_unfinished(self.results, *RUN_FILES["results"])

    def mark(self) -> None:
        """Create the directory for results, and mark it as ours if it is new.

        Raises:
            OutputError: if it holds something else, or is not writable.
        """
        self.check_usable()
        new = not self.is_run()
        self.make_results()
        if new:
            write_json(self.owner, {"mark": MARK})

    def is_run(self) -> bool:
        """Return whether the directory belongs to a run of this framework.

        It carries our mark or, from a version without marks, our metrics or one of our checkpoints.
        """
        return bool(self.record()) or self._has_our_metrics() or self._has_our_checkpoint()

    def check_usable(self) -> None:
        """Check that a run in this directory would neither replace nor mix up what others own.

        Files with other names, such as the output of a job, may lie in it.

        Raises:
            OutputError: if it holds folders or files of a run's names, but is no run of ours.
        """
        if not self.path.is_dir() or self.is_run():
            return
        others = sorted(
            entry.name
            for entry in self.path.iterdir()
            if not entry.name.startswith(".")
            and not _EARLIER.fullmatch(entry.name)
            and (entry.is_dir() or _matches(entry.name, RUN_FILES["."]))
        )
        if others:
            shown = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
            raise OutputError(
                f"{self.path} cannot be the directory of this run: it holds {shown}, which no run "
                "of easnn wrote. Nothing in it was touched. Choose another name (-expn) or another "
                "`output_dir`."
            )

    def next_aside(self) -> tuple[Path, int]:
        """Return where :meth:`move_aside` would move the files of the run, and their number."""
        if not self.path.is_dir():
            return self.path / "earlier-1", 0
        numbers = [
            int(match[1])
            for entry in self.path.iterdir()
            if (match := _EARLIER.fullmatch(entry.name))
        ]
        return self.path / f"earlier-{max(numbers, default=0) + 1}", len(list(self._files()))

    def move_aside(self, record: Mapping[str, Any]) -> Path | None:
        """Move the files of the run to ``earlier-1``, ``earlier-2``, … in its directory.

        Only :data:`RUN_FILES` are moved. The caller holds the lock of the directory.

        Args:
            record: the ``owner.json`` of the run, empty if it has none.

        Returns:
            Where they are now; None if there are none.

        Raises:
            OutputError: if they cannot be moved.
        """
        files = list(self._files())
        if not files:
            return None
        target, _ = self.next_aside()
        try:
            target.mkdir()
            for file in files:
                moved = target / file.relative_to(self.path)
                moved.parent.mkdir(parents=True, exist_ok=True)
                file.rename(moved)
            for folder in sorted({file.parent for file in files} - {self.path}, reverse=True):
                if not any(folder.iterdir()):
                    folder.rmdir()
        except OSError as error:
            raise OutputError(
                f"Cannot move the files of an earlier run to {target}: {error.strerror}. Choose "
                "another experiment name (-expn) or continue that run (--resume)."
            ) from error
        if record:
            write_json(target / self.owner.name, record)
        logger.info("The files of an earlier run with this name were moved to {}", target)
        return target

    def remove_unfinished(self) -> None:
        """Remove what a killed training left of files that it was writing.

        The caller holds the lock of the directory, so no other training writes to it; evaluations
        and pictures may.

        Raises:
            OutputError: if a file cannot be removed.
        """
        ours = remove_unfinished(self.path, *RUN_FILES["."], self.owner.name, alone=True)
        ours += remove_unfinished(self.results, "epoch_*.json", alone=True)
        for folder, patterns in self._folders():
            ours += remove_unfinished(folder, *patterns)
        if ours:
            names = ", ".join(str(path.relative_to(self.path)) for path in ours)
            logger.info("Removed what a killed process had left unfinished: {}", names)

    def _files(self) -> Iterator[Path]:
        for folder, patterns in self._folders():
            yield from (entry for entry in folder.iterdir() if _matches(entry.name, patterns))

    def _folders(self) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """Yield the existing folders of a run with the names of its files in them."""
        for name, patterns in RUN_FILES.items():
            for path in [self.path] if name == "." else self.path.glob(name):
                if path.is_dir():
                    yield path, patterns

    def _has_our_metrics(self) -> bool:
        try:
            with self.metrics.open(encoding="utf-8") as file:
                line = json.loads(file.readline())
        except (OSError, ValueError):  # missing, or not ours
            return False
        return isinstance(line, dict) and {"kind", "iteration"} <= line.keys()

    def _has_our_checkpoint(self) -> bool:
        for path in self.path.glob(CHECKPOINTS):
            with suppress(CheckpointError):  # damaged, or something else
                if is_own(read_tensor_file(path)):
                    return True
        return False


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
