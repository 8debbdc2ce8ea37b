"""The files of a sweep, and what they say about how far each run is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from easnn.cli.sweep.plan import Sweep, SweepRun
from easnn.engine import RunDirectory
from easnn.exp.keys import OutputKeys
from easnn.utils.errors import OutputError
from easnn.utils.files import make_directory, write_json
from easnn.utils.locks import only_one


class RunStatus(Enum):
    """How far a run is."""

    NEW = auto()  # not started
    CHANGED = auto()  # started or done with other settings
    STARTED = auto()  # its training did not come to its end
    TRAINED = auto()  # not evaluated
    DONE = auto()


@dataclass(frozen=True)
class RunRecord:
    """What the sweep notes about a run that it started.

    Attributes:
        definition: everything that decides the training, as plain values.
        trained: whether the training came to its end.
        train_s: seconds that it took so far.
    """

    definition: dict[str, Any]
    trained: bool = False
    train_s: float = 0.0


class SweepFolder:
    """Names the files of a sweep and reads its records.

    Args:
        path: the folder.
        sweep: what is made in it.
    """

    def __init__(self, path: Path, sweep: Sweep) -> None:
        self.path = path
        self.table_json = path / "table.json"
        self.table_markdown = path / "table.md"
        self._sweep = sweep

    def run(self, run: SweepRun) -> RunDirectory:
        """Return the directory of a run's training."""
        return RunDirectory(self.path / run.name)

    def log(self, run: SweepRun) -> Path:
        """Return the file with what the commands of a run printed."""
        return self.path / "logs" / f"{run.name}.log"

    def checkpoint(self, run: SweepRun) -> Path:
        """Return the checkpoint that is evaluated."""
        directory = self.run(run)
        return directory.best if self._sweep.settings.checkpoint == "best" else directory.latest

    def result(self, run: SweepRun) -> Path:
        """Return the file that the evaluation writes."""
        split, protocols = self._sweep.settings.split, run.experiment.protocols()
        return self.run(run).evaluation(self.checkpoint(run), split, protocols)

    def definition(self, run: SweepRun) -> dict[str, Any]:
        """Return everything that decides the training of a run."""
        settings = self._sweep.settings
        keys = {
            name: value
            for name, value in run.experiment.plain().items()
            if name not in OutputKeys.declarations()
        }
        return {
            "exp_file": settings.exp_file,
            "batch_size": settings.batch_size,
            "fp16": settings.fp16,
            "keys": keys,
        }

    def record(self, run: SweepRun) -> RunRecord | None:
        """Return what was noted about a run, ``None`` if it was never started."""
        path = self._record_path(run)
        return RunRecord(**json.loads(path.read_text())) if path.is_file() else None

    def write_record(self, run: SweepRun, record: RunRecord) -> None:
        """Note how far a run is.

        Raises:
            OutputError: if the file cannot be written.
        """
        write_json(self._record_path(run), asdict(record))

    def status(self, run: SweepRun) -> RunStatus:
        """Tell how far a run is."""
        record = self.record(run)
        if record is None:
            return RunStatus.NEW
        if self.differences(run):
            return RunStatus.CHANGED
        if not record.trained:
            return RunStatus.STARTED
        return RunStatus.DONE if self.result(run).is_file() else RunStatus.TRAINED

    def differences(self, run: SweepRun) -> list[str]:
        """Return in which settings a run that was started differs from the sweep file, a phrase each.

        A key that the record does not have, because a later version of the project added it, had its default.
        """
        record = self.record(run)
        if record is None:
            return []
        defaults = {name: key.kind.plain(key.default) for name, key in run.experiment.declarations().items()}
        definition = self.definition(run)
        known = {name: defaults[name] for name in definition["keys"]}
        old = _flat({**record.definition, "keys": known | record.definition["keys"]})
        new = _flat(definition)
        return [
            f"{name} was {old.get(name, 'not there')}, is {new.get(name, 'not there')}"
            for name in {**old, **new}
            if old.get(name) != new.get(name)
        ]

    def set_aside(self, run: SweepRun) -> None:
        """Forget a run; the files of its training move to ``NAME.earlier-1``, ``-2``, … in the folder.

        Raises:
            OutputError: if they cannot be moved.
        """
        directory = self.run(run).path
        number = 1
        while (target := directory.with_name(f"{directory.name}.earlier-{number}")).exists():
            number += 1
        try:
            # First: without a record, nobody goes on with the files.
            self._record_path(run).unlink(missing_ok=True)
            if directory.exists():
                directory.rename(target)
        except OSError as error:
            raise OutputError(f"Cannot move {directory} to {target}: {error.strerror}.") from error

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Make the folder and be the only one who works in it.

        The block gets the number of an open file. Processes that inherit it hold the lock as well, so that
        runs whose sweep was killed are not made a second time beside them.

        Raises:
            OutputError: if the folder cannot be written, or somebody else works in it.
        """
        for path in (self.path, self.path / "logs", self.path / "records"):
            make_directory(path)
        with only_one(self.path) as lock:
            if lock is None:
                raise OutputError(
                    f"Another sweep, or a run that one left behind, is at work in {self.path}. Wait for it or end "
                    "it, or choose another folder (--output)."
                )
            yield lock

    def _record_path(self, run: SweepRun) -> Path:
        return self.path / "records" / f"{run.name}.json"


def _flat(definition: dict[str, Any]) -> dict[str, Any]:
    """Return the keys beside the other entries, JSON's lists in place of tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(definition))
    return {**{name: value for name, value in plain.items() if name != "keys"}, **plain["keys"]}
