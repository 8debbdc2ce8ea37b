"""What was killed, and what came out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tabulate import tabulate

from easnn.soak.plan import Kill, Phase


@dataclass
class KillRecord:
    """A kill that was made.

    Attributes:
        processes: number of processes of the training.
        kill: what was planned.
        phase: the phase in which it happened, as the files show.
        iteration: steps that were done, according to the metrics.
        saved: steps that are done in the last checkpoint; None if it is missing or damaged.
        exit_code: of the process that was started, −N if signal N ended it; None if it hung.
        forked: whether it was forked from a process with its imports.
        seconds: from its start to its end.
        resumed: whether the training went on after it.
        lost: whether something was lost in the run to which it belongs.
    """

    processes: int
    kill: Kill
    phase: Phase
    iteration: int
    saved: int | None
    exit_code: int | None
    forked: bool
    seconds: float
    resumed: bool = True
    lost: bool = False


@dataclass
class RunRecord:
    """A training that was killed several times.

    Attributes:
        processes: number of processes.
        kills: the kills, in their order.
        problems: what differs from a run that was not interrupted, or why it did not go on.
        missed: kills that were planned, but whose moment did not come.
        kept: where the run is, if there are problems.
        seconds: from its start to the comparison.
    """

    processes: int
    kills: list[KillRecord] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    missed: int = 0
    kept: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class SoakReport:
    """All trainings that were killed.

    Attributes:
        seed: the seed of the kills.
        runs: the trainings.
    """

    seed: int
    runs: Sequence[RunRecord]

    @property
    def kills(self) -> list[KillRecord]:
        """All kills, in their order."""
        return [kill for run in self.runs for kill in run.kills]

    @property
    def lost(self) -> list[RunRecord]:
        """The trainings in which something was lost."""
        return [run for run in self.runs if run.problems]

    def table(self) -> str:
        """Return a table of the kills by processes, victim and phase."""
        groups: dict[tuple[int, str, str], list[KillRecord]] = {}
        for record in self.kills:
            key = (record.processes, record.kill.kind.title, record.phase)
            groups.setdefault(key, []).append(record)
        rows = [(*map(str, key), *_counts(groups[key])) for key in sorted(groups)]
        rows.append(("", "all", "", *_counts(self.kills)))
        table: str = tabulate(
            rows,
            headers=("processes", "killed", "in", "kills", "resumed", "lost", "minutes"),
            disable_numparse=True,
            colalign=("right", "left", "left", "right", "right", "right", "right"),
        )
        return table

    def plain(self) -> dict[str, Any]:
        """Return everything as values of JSON."""
        codes = Counter(f"{record.kill.kind.title}: {record.exit_code}" for record in self.kills)
        return {
            "seed": self.seed,
            "kills": len(self.kills),
            "lost": sum(record.lost for record in self.kills),
            "exit_codes": dict(sorted(codes.items())),
            "runs": [asdict(run) for run in self.runs],
        }


def _counts(records: Sequence[KillRecord]) -> tuple[str, str, str, str]:
    return (
        str(len(records)),
        str(sum(record.resumed for record in records)),
        str(sum(record.lost for record in records)),
        f"{sum(record.seconds for record in records) / 60:.1f}",
    )
