"""The table of a sweep: mean and standard deviation of each variant over its seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from easnn.sweep.sweep_file import SweepRun
from easnn.sweep.sweep_folder import SweepFolder
from easnn.utils.files import atomic_write, write_json

HEADERS = ("variant", "seeds", "AP", "AP50", "AP50 of each seed", "training, s")


def write_table(folder: SweepFolder) -> str:
    """Write ``table.json`` and ``table.md`` of the finished runs; return the Markdown table.

    Raises:
        OutputError: if a file cannot be written.
    """
    sweep = folder.sweep
    variants: dict[str, list[SweepRun]] = {}
    for run in sweep.runs:
        variants.setdefault(run.variant, []).append(run)
    rows = [_row(folder, runs) for runs in variants.values()]
    contents = {"sweep": str(sweep.path), "settings": sweep.settings.plain(), "variants": rows}
    write_json(folder.path / "table.json", contents)
    table: str = tabulate(
        [_cells(row) for row in rows],
        HEADERS,
        tablefmt="github",
        disable_numparse=True,
        colalign=("left", *["right"] * (len(HEADERS) - 1)),
    )
    with atomic_write(folder.path / "table.md") as file:
        file.write(f"{table}\n".encode())
    return table


def spread(numbers: Sequence[float | None]) -> dict[str, float | None] | None:
    """Return mean and sample standard deviation (n − 1 in the denominator) of some numbers.

    The deviation of a single number is ``None``. The result is ``None`` without numbers, or if one
    of them is ``None``.
    """
    defined = [number for number in numbers if number is not None]
    if not defined or len(defined) < len(numbers):
        return None
    deviation = statistics.stdev(defined) if len(defined) > 1 else None
    return {"mean": statistics.fmean(defined), "deviation": deviation}


def format_number(number: float | None, digits: int) -> str:
    """Return a number with ``digits`` decimals, or a dash for ``None``."""
    return "–" if number is None else f"{number:.{digits}f}"


def _row(folder: SweepFolder, runs: Sequence[SweepRun]) -> dict[str, Any]:
    """Return the entry of a variant in ``table.json``."""
    seeds = []
    for run in runs:
        if folder.is_done(run) and (record := folder.record(run)):
            ap, ap50 = folder.scores(run)
            seeds.append({"seed": run.seed, "ap": ap, "ap50": ap50, "train_s": record.train_s})
    row = {
        "variant": runs[0].variant,
        "keys": runs[0].varied,
        "expected": len(runs),
        "seeds": seeds,
    }
    return row | {
        name: spread([seed[name] for seed in seeds]) for name in ("ap", "ap50", "train_s")
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    def mean(name: str, digits: int) -> str:
        if row[name] is None:
            return "–"
        values = [value for value in row[name].values() if value is not None]
        return " ± ".join(format_number(value, digits) for value in values)

    done, expected = len(row["seeds"]), row["expected"]
    return (
        row["variant"],
        str(done) if done == expected else f"{done} of {expected}",
        mean("ap", 3),
        mean("ap50", 3),
        ", ".join(format_number(seed["ap50"], 3) for seed in row["seeds"]) or "–",
        mean("train_s", 0),
    )
