"""What the files of a training show about it, while it runs and after it was killed."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from easnn.engine import CHECKPOINTS, RunDirectory
from easnn.soak.plan import Phase
from easnn.utils.files import name_of_unfinished

_TAIL_BYTES = 4096
"""More than two lines of metrics."""


@dataclass(frozen=True)
class Sight:
    """What a training is doing.

    Attributes:
        phase: the phase.
        iteration: steps that the metrics say are done.
    """

    phase: Phase
    iteration: int


class Watch:
    """Sees what a training does by the files in its run directory.

    Args:
        run: the run directory. The watch begins before the training is started.
        steps_per_epoch: steps of an epoch.
    """

    def __init__(self, run: RunDirectory, *, steps_per_epoch: int) -> None:
        self._run = run
        self._steps_per_epoch = steps_per_epoch
        self._token = run.record().get("token")
        self._old_results = self._results()
        self._old_files = set(self._unfinished())
        self._start = time.time()
        self._began = False

    def sight(self) -> Sight:
        """Return what the training does now or, if it has ended, what it did last."""
        last = self._last_record()
        return Sight(self._phase(last), last.get("iteration", 0))

    def _phase(self, last: dict[str, Any]) -> Phase:
        if self._run.record().get("token") == self._token:
            return "start-up"
        if set(self._unfinished()) - self._old_files:
            return "saving"
        self._began = (
            self._began
            or last.get("time", 0.0) > self._start
            or self._results() != self._old_results
        )
        if not self._began:
            return "resuming"
        ends_epoch = last.get("step") == self._steps_per_epoch
        if ends_epoch and _changed_ns(self._run.latest) > _changed_ns(self._run.metrics):
            return "evaluating"
        return "step"

    def _last_record(self) -> dict[str, Any]:
        """Return the last complete line of the metrics; of training, it has a ``step``."""
        try:
            with self._run.metrics.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL_BYTES))
                complete = file.read().split(b"\n")[:-1]
        except OSError:  # there is none so far
            return {}
        record = json.loads(complete[-1]) if complete else {}
        assert isinstance(record, dict)
        return record

    def _unfinished(self) -> list[str]:
        """Return the names of the temporary files of checkpoints."""
        return [
            entry.name
            for entry in (self._run.path.iterdir() if self._run.path.is_dir() else ())
            if (name := name_of_unfinished(entry.name)) and fnmatchcase(name, CHECKPOINTS)
        ]

    def _results(self) -> dict[str, int]:
        return {path.name: _changed_ns(path) for path in self._run.results.glob("*.json")}


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return -1
