"""Curves of a training run: loss, average precision and learning rate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from easnn.analysis.palette import BACKGROUND, CURVE_COLOURS, FAINT_INK, GRID, INK, PAPER, as_hex
from easnn.utils.errors import DataError
from easnn.utils.files import atomic_write, make_directory, read_text
from easnn.utils.options import PICTURES

METRICS_FILE = "metrics.jsonl"
LOSSES = {"iou_loss": "box", "conf_loss": "objectness", "cls_loss": "class", "l1_loss": "L1"}
PRECISIONS = {"ap50": "AP 50", "ap": "AP 50:95", "ap75": "AP 75"}

SMOOTHED_FROM = 40
"""Losses with at least this many points are drawn smoothed, over the faint original."""

Series = npt.NDArray[np.float64]


def write_curves(run_dir: Path) -> Path:
    """Draw the curves of a run: total loss and its parts, average precision, learning rate.

    Values that are missing, null or not finite leave a gap. The last line is ignored if a crash
    truncated it.

    Args:
        run_dir: directory of the run, with its ``metrics.jsonl``.

    Returns:
        The picture, ``pictures/curves.png`` in the directory of the run.

    Raises:
        DataError: if there is no ``metrics.jsonl``, or one of its lines is invalid.
        OutputError: if the picture cannot be written.
    """
    records = _read(run_dir / METRICS_FILE)
    training = [r for r in records if r["kind"] == "train"]
    evaluations = [r for r in records if r["kind"] == "eval"]

    figure = Figure(figsize=(12, 7.5), facecolor=as_hex(PAPER), layout="constrained")
    figure.suptitle(run_dir.resolve().name, color=as_hex(INK), fontweight="bold", fontsize=14)
    total, precision, parts, rate = figure.subplots(2, 2).flat
    _draw(total, "Total loss", training, {"total_loss": "total"}, smooth=True)
    _draw(parts, "Parts of the loss", training, LOSSES, smooth=True)
    _draw(rate, "Learning rate", training, {"lr": "learning rate"})
    _draw(precision, "Average precision", evaluations, PRECISIONS, marker="o")
    _mark_best(precision, evaluations)
    path = make_directory(run_dir / PICTURES) / "curves.png"
    with atomic_write(path) as file:
        figure.savefig(file, format="png")
    return path


def _read(path: Path) -> list[dict[str, Any]]:
    """Return the records of a run."""
    try:
        lines = read_text(path).splitlines()
    except OSError as error:
        raise DataError(
            f"Cannot read {path}: {error.strerror}. Give the directory of a training run."
        ) from error
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise DataError(f"{path}, line {number} is not JSON: {error}. Remove it.") from error
        if not isinstance(record, dict) or not {"kind", "iteration", "epoch"} <= record.keys():
            raise DataError(
                f"{path}, line {number} must be an object with `kind`, `iteration` and `epoch`. "
                "Remove it."
            )
        records.append(record)
    return records


def _series(records: Sequence[Mapping[str, Any]], key: str) -> Series:
    """Return the values of ``key``, NaN where it is missing."""
    return np.array([np.nan if r.get(key) is None else r[key] for r in records], dtype=np.float64)


def _draw(
    axes: Axes,
    title: str,
    records: Sequence[Mapping[str, Any]],
    curves: Mapping[str, str],
    *,
    smooth: bool = False,
    marker: str = "",
) -> None:
    """Draw the named curves over the steps of the run."""
    steps = _series(records, "iteration")
    for (key, label), colour in zip(curves.items(), CURVE_COLOURS, strict=False):
        values = _series(records, key)
        if smooth and len(values) >= SMOOTHED_FROM:
            axes.plot(steps, values, color=as_hex(colour), alpha=0.25, linewidth=0.8)
            values = _smooth(values)
        axes.plot(
            steps,
            values,
            color=as_hex(colour),
            label=label,
            linewidth=1.8,
            marker=marker,
            markersize=4,
        )
    axes.set_title(title, loc="left", color=as_hex(INK), fontsize=11)
    axes.set_xlabel("step", color=as_hex(FAINT_INK))
    axes.set_facecolor(as_hex(BACKGROUND))
    axes.tick_params(colors=as_hex(FAINT_INK))
    axes.grid(color=as_hex(GRID), linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[:].set_color(as_hex(GRID))
    axes.set_ylim(bottom=0)
    if not records:
        axes.set(xticks=[], yticks=[])
    if len(curves) > 1:
        axes.legend(frameon=False, labelcolor=as_hex(INK))


def _smooth(values: Series) -> Series:
    """Return the moving average over a twentieth of the points, ignoring NaN."""
    window = np.ones(len(values) // 20 | 1)
    known = np.isfinite(values)
    sums = np.convolve(np.where(known, values, 0), window, mode="same")
    counts = np.convolve(known.astype(np.float64), window, mode="same")
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _mark_best(axes: Axes, evaluations: Sequence[Mapping[str, Any]]) -> None:
    """Write the best AP into the title, or that there is none."""
    ap = _series(evaluations, "ap")
    if not np.isfinite(ap).any():
        note = "no evaluation yet" if not evaluations else "never defined: no ground truth"
    else:
        best = evaluations[int(np.nanargmax(ap))]
        note = f"best {best['ap']:.3f} after epoch {best['epoch']}"
    axes.set_title(note, loc="right", color=as_hex(FAINT_INK), fontsize=10)
