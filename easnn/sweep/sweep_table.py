"""The table of a sweep: mean and standard deviation of each variant over its seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from easnn.sweep.sweep_file import SweepRun
from easnn.sweep.sweep_folder import SweepFolder
from easnn.utils.files import atomic_write, write_json

TINY = 1e-12
"""Deviations below it are rounding."""

CONFIDENCE = 0.95
"""Of the interval of a difference to the baseline."""


def write_table(folder: SweepFolder) -> str:
    """Write ``table.json`` and ``table.md`` of the finished runs; return the Markdown tables.

    Raises:
        OutputError: if a file cannot be written.
    """
    sweep = folder.sweep
    variants: dict[str, list[SweepRun]] = {}
    for run in sweep.runs:
        variants.setdefault(run.variant, []).append(run)
    rows = [_row(folder, runs) for runs in variants.values()]
    baseline = next((row for row in rows if row["variant"] == sweep.settings.baseline), None)
    if baseline is not None:
        for row in rows:
            row["difference"] = None if row is baseline else _differences(row, baseline)
    contents = {"sweep": str(sweep.path), "settings": sweep.settings.plain(), "variants": rows}
    write_json(folder.path / "table.json", contents)
    tables = [_main_table(rows)]
    if baseline is not None:
        tables.append(_difference_table(rows, sweep.settings.baseline or ""))
    tables += _strata_tables(rows)
    text = "\n\n".join(tables)
    with atomic_write(folder.path / "table.md") as file:
        file.write(f"{text}\n".encode())
    return text


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


def paired(differences: Sequence[float]) -> dict[str, float | None] | None:
    """Return mean, 95 % interval and p of paired differences by Student's t-test, two-sided.

    The test is that of the mean of normal differences of unknown deviation, which is what a few
    seeds allow: a test of ranks or signs cannot give p < 0.05 for less than six. Without a
    deviation (one difference, or equal ones) there is only a mean; None without differences.

    Args:
        differences: one for each seed.
    """
    if not differences:
        return None
    found: dict[str, float | None] = {"mean": statistics.fmean(differences)}
    if len(differences) < 2 or statistics.stdev(differences) < TINY:
        return found | {"low": None, "high": None, "p": None}
    from scipy.stats import ttest_1samp  # takes a second

    test = ttest_1samp(differences, 0.0)
    low, high = test.confidence_interval(CONFIDENCE)
    return found | {"low": float(low), "high": float(high), "p": float(test.pvalue)}


def _row(folder: SweepFolder, runs: Sequence[SweepRun]) -> dict[str, Any]:
    """Return the entry of a variant in ``table.json``."""
    seeds: list[dict[str, Any]] = []
    for run in runs:
        if folder.is_done(run) and (record := folder.record(run)):
            found = folder.measures(run)
            seed: dict[str, Any] = {
                "seed": run.seed,
                "ap": found.ap,
                "ap50": found.ap50,
                "train_s": record.train_s,
            }
            if found.energy_mj is not None:
                seed["energy_mj"] = found.energy_mj
            if found.strata:
                seed["strata"] = [
                    {"quantity": quantity, "name": name, "ap": ap}
                    for (quantity, name), ap in found.strata.items()
                ]
            seeds.append(seed)
    row = {
        "variant": runs[0].variant,
        "keys": runs[0].varied,
        "expected": len(runs),
        "seeds": seeds,
    }
    names = ["ap", "ap50", "train_s", *(["energy_mj"] if _has(seeds, "energy_mj") else [])]
    row |= {name: spread([seed[name] for seed in seeds]) for name in names}
    if _has(seeds, "strata"):
        row["strata"] = [
            {"quantity": entry["quantity"], "name": entry["name"]}
            | {"ap": spread([seed["strata"][place]["ap"] for seed in seeds])}
            for place, entry in enumerate(seeds[0]["strata"])
        ]
    return row


def _has(seeds: Sequence[dict[str, Any]], name: str) -> bool:
    return bool(seeds) and all(name in seed for seed in seeds)


def _differences(row: dict[str, Any], baseline: dict[str, Any]) -> dict[str, Any]:
    """Compare the seeds that a variant and the baseline have in common."""
    others = {seed["seed"]: seed for seed in baseline["seeds"]}
    pairs = [(seed, others[seed["seed"]]) for seed in row["seeds"] if seed["seed"] in others]
    found: dict[str, Any] = {"seeds": [seed["seed"] for seed, _ in pairs]}
    for name in ("ap", "ap50"):
        defined = all(one[name] is not None and other[name] is not None for one, other in pairs)
        found[name] = paired([one[name] - other[name] for one, other in pairs]) if defined else None
    return found


def _main_table(rows: Sequence[dict[str, Any]]) -> str:
    energy = any("energy_mj" in row for row in rows)
    headers = ["variant", "seeds", "AP", "AP50", "AP50 of each seed"]
    headers += [*(["mJ per frame"] if energy else []), "training, s"]
    cells = []
    for row in rows:
        done, expected = len(row["seeds"]), row["expected"]
        cells.append(
            [
                row["variant"],
                str(done) if done == expected else f"{done} of {expected}",
                _mean(row["ap"], 3),
                _mean(row["ap50"], 3),
                ", ".join(format_number(seed["ap50"], 3) for seed in row["seeds"]) or "–",
                *([_mean(row.get("energy_mj"), 3)] if energy else []),
                _mean(row["train_s"], 0),
            ]
        )
    return _markdown(headers, cells)


def _difference_table(rows: Sequence[dict[str, Any]], baseline: str) -> str:
    headers = [f"variant − {baseline}", "pairs"]
    for name in ("AP", "AP50"):
        headers += [f"Δ{name}", f"{CONFIDENCE:.0%} interval", "p"]
    cells = []
    for row in rows:
        if (found := row["difference"]) is None:
            continue
        line = [row["variant"], str(len(found["seeds"]))]
        for name in ("ap", "ap50"):
            test = found[name] or {"mean": None, "low": None, "high": None, "p": None}
            interval = "–" if test["low"] is None else f"{test['low']:+.3f} … {test['high']:+.3f}"
            mean = "–" if test["mean"] is None else f"{test['mean']:+.3f}"
            line += [mean, interval, format_number(test["p"], 3)]
        cells.append(line)
    return _markdown(headers, cells)


def _strata_tables(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return a table of AP for each quantity, with a column for each stratum."""
    measured = [row for row in rows if "strata" in row]
    if not measured:
        return []
    tables = []
    for quantity in dict.fromkeys(entry["quantity"] for entry in measured[0]["strata"]):
        names = [e["name"] for e in measured[0]["strata"] if e["quantity"] == quantity]
        cells = []
        for row in measured:
            found = {e["name"]: e["ap"] for e in row["strata"] if e["quantity"] == quantity}
            cells.append([row["variant"], *(_mean(found.get(name), 3) for name in names)])
        tables.append(_markdown([f"AP by {quantity}", *names], cells))
    return tables


def _markdown(headers: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    table: str = tabulate(
        cells,
        headers,
        tablefmt="github",
        disable_numparse=True,
        colalign=("left", *["right"] * (len(headers) - 1)) if cells else None,
    )
    return table


def _mean(of: dict[str, float | None] | None, digits: int) -> str:
    """Return mean ± deviation, as far as they are defined."""
    values = [value for value in (of or {}).values() if value is not None]
    return " ± ".join(format_number(value, digits) for value in values) or "–"
