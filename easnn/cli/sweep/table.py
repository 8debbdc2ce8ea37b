"""The table of a sweep: mean and deviation of each variant over its seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tabulate import tabulate

from easnn.cli.sweep.folder import RunStatus, SweepFolder
from easnn.cli.sweep.plan import Sweep
from easnn.cli.sweep.result import RunResult, shown
from easnn.utils.files import atomic_write, write_json

HEADERS = ("variant", "seeds", "AP", "AP50", "AP50 of each seed", "training, s")


@dataclass(frozen=True)
class Spread:
    """Mean of some numbers, and their sample standard deviation (with n − 1), if there are two or more."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, numbers: Sequence[float | None]) -> Spread | None:
        """Return that of the numbers, ``None`` if there are none or one of them is not defined."""
        defined = [number for number in numbers if number is not None]
        if not defined or len(defined) < len(numbers):
            return None
        return cls(statistics.fmean(defined), statistics.stdev(defined) if len(defined) > 1 else None)

    def text(self, digits: int) -> str:
        """Return it for people, with so many digits behind the point."""
        deviation = "" if self.deviation is None else f" ± {shown(self.deviation, digits)}"
        return shown(self.mean, digits) + deviation


@dataclass(frozen=True)
class SeedRow:
    """A run that is done; a measure is ``None`` where it is not defined."""

    seed: int
    ap: float | None
    ap50: float | None
    train_s: float


@dataclass(frozen=True)
class VariantRow:
    """A variant and those of its runs that are done.

    Attributes:
        variant: its name.
        keys: those in which it differs from others, as on the command line.
        expected: number of its seeds.
        seeds: the runs that are done.
    """

    variant: str
    keys: dict[str, str]
    expected: int
    seeds: tuple[SeedRow, ...]

    def spread(self, measure: str) -> Spread | None:
        """Return the mean and deviation of ``ap``, ``ap50`` or ``train_s`` over the seeds."""
        return Spread.of([getattr(seed, measure) for seed in self.seeds])


def sweep_rows(sweep: Sweep, folder: SweepFolder) -> list[VariantRow]:
    """Return a row for each variant, from what is done in the folder."""
    rows = []
    for variant in sweep.variants:
        runs = [run for run in sweep.runs if run.variant == variant]
        seeds = []
        for run in runs:
            record = folder.record(run)
            if record is not None and folder.status(run) is RunStatus.DONE:
                result = RunResult.read(folder.result(run))
                seeds.append(SeedRow(run.seed, result.ap, result.ap50, record.train_s))
        rows.append(VariantRow(variant, runs[0].varied, len(runs), tuple(seeds)))
    return rows


def sweep_table(rows: Sequence[VariantRow]) -> str:
    """Return the rows for people, as a table of Markdown."""
    table: str = tabulate(
        [_cells(row) for row in rows],
        HEADERS,
        tablefmt="github",
        disable_numparse=True,
        colalign=("left", *["right"] * (len(HEADERS) - 1)),
    )
    return table


def write_tables(sweep: Sweep, folder: SweepFolder, rows: Sequence[VariantRow]) -> None:
    """Write the rows to ``table.md`` and ``table.json`` of the folder.

    Raises:
        OutputError: if a file cannot be written.
    """
    measures = ("ap", "ap50", "train_s")
    variants = [{**asdict(row), **{name: _plain(row.spread(name)) for name in measures}} for row in rows]
    settings = sweep.settings.plain()
    write_json(folder.table_json, {"sweep": str(sweep.path), "settings": settings, "variants": variants})
    with atomic_write(folder.table_markdown) as file:
        file.write((sweep_table(rows) + "\n").encode())


def _cells(row: VariantRow) -> tuple[str, ...]:
    def mean(measure: str, digits: int) -> str:
        spread = row.spread(measure)
        return "–" if spread is None else spread.text(digits)

    done = len(row.seeds)
    return (
        row.variant,
        str(done) if done == row.expected else f"{done} of {row.expected}",
        mean("ap", 3),
        mean("ap50", 3),
        ", ".join(shown(seed.ap50, 3) for seed in row.seeds) or "–",
        mean("train_s", 0),
    )


def _plain(spread: Spread | None) -> dict[str, Any] | None:
    return None if spread is None else asdict(spread)
