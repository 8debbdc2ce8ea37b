"""The files of a sweep, and the state of its runs according to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from easnn.engine import RunDirectory, RunOwner
from easnn.exp.keys import OutputKeys
from easnn.sweep.sweep_file import Sweep, SweepRun
from easnn.utils.errors import OutputError
from easnn.utils.files import make_directory, read_text, remove_unfinished, write_json
from easnn.utils.locks import only_one


@dataclass(frozen=True)
class RunRecord:
    """The settings of a training run, whether it is finished, and its duration in seconds."""

    definition: dict[str, Any]
    trained: bool = False
    train_s: float = 0.0


@dataclass(frozen=True)
class Measures:
    """What was measured of a run.

    Attributes:
        ap: average precision; None if it is undefined.
        ap50: at IoU 0.50; None if it is undefined.
        energy_mj: energy of a frame in mJ; None if it was not asked for.
        strata: average precision of each stratum, by quantity and name; empty if not asked for.
    """

    ap: float | None
    ap50: float | None
    energy_mj: float | None
    strata: dict[tuple[str, str], float | None]


class SweepFolder:
    """The paths of the files of a sweep, and the records of its runs."""

    def __init__(self, path: Path, sweep: Sweep) -> None:
        self.path = path
        self.sweep = sweep

    def directory(self, run: SweepRun) -> RunDirectory:
        """Return the directory of a run's training."""
        return RunDirectory(self.path / run.name)

    def log(self, run: SweepRun) -> Path:
        """Return the file with the output of a run's commands."""
        return self.path / "logs" / f"{run.name}.log"

    def checkpoint(self, run: SweepRun) -> Path:
        """Return the checkpoint that is evaluated."""
        directory = self.directory(run)
        return directory.best if self.sweep.settings.checkpoint == "best" else directory.latest

    def result(self, run: SweepRun) -> Path:
        """Return the file that the evaluation writes."""
        protocols = run.experiment.protocols()
        return self.directory(run).evaluation(
            self.checkpoint(run), self.sweep.settings.split, protocols
        )

    def energy(self, run: SweepRun) -> Path:
        """Return the file that the energy report writes."""
        return self.directory(run).energy(self.checkpoint(run), self.sweep.settings.split)

    def measures(self, run: SweepRun) -> Measures:
        """Return what was measured of an evaluated run."""
        result = json.loads(read_text(self.result(run)))
        energy_mj = None
        if self.sweep.settings.energy_frames:
            energy_mj = json.loads(read_text(self.energy(run)))["total"]["energy_pj"] / 1e9
        strata = result["strata"] if self.sweep.settings.strata else []
        return Measures(
            result["ap"],
            result["ap50"],
            energy_mj,
            {(entry["quantity"], entry["name"]): entry["ap"] for entry in strata},
        )

    def is_evaluated(self, run: SweepRun) -> bool:
        """Return whether all that the sweep file asks for was measured."""
        settings = self.sweep.settings
        path = self.result(run)
        if not path.is_file() or (settings.energy_frames and not self.energy(run).is_file()):
            return False
        return not settings.strata or "strata" in json.loads(read_text(path))

    def new_record(self, run: SweepRun) -> RunRecord:
        """Return the record of a run that starts now."""
        keys = {
            name: value
            for name, value in run.experiment.plain().items()
            if name not in OutputKeys.declarations()
        }
        shared = {
            name: getattr(self.sweep.settings, name) for name in ("exp_file", "batch_size", "fp16")
        }
        # Through JSON, as tuples become lists in the file that it is compared with.
        return RunRecord(json.loads(json.dumps({**shared, "keys": keys})))

    def record(self, run: SweepRun) -> RunRecord | None:
        """Return the record of a run, ``None`` if it was never started."""
        path = self._record_path(run)
        return RunRecord(**json.loads(read_text(path))) if path.is_file() else None

    def write_record(self, run: SweepRun, record: RunRecord) -> None:
        """Write the record of a run.

        Raises:
            OutputError: if the file cannot be written.
        """
        write_json(self._record_path(run), asdict(record))

    def is_done(self, run: SweepRun) -> bool:
        """Return whether a run is trained with the settings of the sweep file and evaluated."""
        record = self.record(run)
        trained = record is not None and record.trained and not self.differences(run)
        return trained and self.is_evaluated(run)

    def differences(self, run: SweepRun) -> list[str]:
        """Describe each setting of a run's record, if any, that differs from the sweep file.

        A key that the record lacks, because a later version added it, had its default.
        """
        record = self.record(run)
        if record is None:
            return []
        definition = self.new_record(run).definition
        defaults = {
            name: key.kind.plain(key.default) for name, key in run.experiment.declarations().items()
        }
        known = {name: defaults[name] for name in definition["keys"]}
        old = {**record.definition, **known, **record.definition["keys"]}
        new = {**definition, **definition["keys"]}
        return [
            f"{name} was {old.get(name, 'not set')}, is {new.get(name, 'not set')}"
            for name in {**old, **new}
            if name != "keys" and old.get(name) != new.get(name)
        ]

    def set_aside(self, run: SweepRun) -> None:
        """Remove the record of a run, and move the files of its training to ``earlier-1`` etc.

        Raises:
            OutputError: if that fails, or its directory is used by something else.
        """
        record = self._record_path(run)
        try:
            # The record is removed first, so that no run resumes from the old files.
            record.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"Cannot remove {record}: {error.strerror}.") from error
        directory = self.directory(run)
        if directory.path.exists():
            with RunOwner(directory.path) as owner:
                owner.start(resume=False)

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Create and lock the folder; yield the file descriptor of the lock.

        Processes that inherit the descriptor hold the lock as well. After a sweep was killed, no
        other sweep can thus start a run that is still active.

        Raises:
            OutputError: if the folder cannot be written or is locked.
        """
        for path in (self.path, self.path / "logs", self.path / "records"):
            make_directory(path)
        with only_one(self.path) as lock:
            if lock is None:
                raise OutputError(
                    f"Another sweep, or a run that it left behind, is active in {self.path}. Wait "
                    "until it ends, stop it, or choose another folder (--output)."
                )
            remove_unfinished(self.path, "table.json", "table.md")
            remove_unfinished(self.path / "records", "*.json", alone=True)
            yield lock

    def _record_path(self, run: SweepRun) -> Path:
        return self.path / "records" / f"{run.name}.json"
