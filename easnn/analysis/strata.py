"""A picture of the results by strata of an evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from easnn.analysis.palette import BACKGROUND, CURVE_COLOURS, FAINT_INK, GRID, INK, PAPER, as_hex
from easnn.evaluation import EvaluationResult, StratumResult
from easnn.utils.files import atomic_write

BAR_WIDTH = 0.4
PANEL_SIZE = (4.6, 3.4)  # in inches
MOST_COLUMNS = 3


def write_strata(result: EvaluationResult, path: Path) -> Path:
    """Draw AP and AR of the strata of a result, a panel for each quantity.

    The number of boxes is below the name of each stratum; one without boxes has no bars.

    Args:
        result: a result with strata.
        path: the picture, a PNG.

    Returns:
        The path.

    Raises:
        OutputError: if the picture cannot be written.
    """
    strata = result.strata or ()
    quantities = list(dict.fromkeys(stratum.quantity for stratum in strata))
    columns = max(1, min(MOST_COLUMNS, len(quantities)))
    rows = max(1, -(-len(quantities) // columns))
    figure = Figure(
        figsize=(columns * PANEL_SIZE[0], rows * PANEL_SIZE[1]),
        facecolor=as_hex(PAPER),
        layout="constrained",
    )
    title = f"{result.protocol} protocol, {result.split}, AP {result.ap:.3f}"
    figure.suptitle(title, color=as_hex(INK), fontweight="bold", fontsize=12)
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes in panels[len(quantities) :]:
        axes.set_visible(False)
    for axes, quantity in zip(panels, quantities, strict=False):
        _draw(axes, [stratum for stratum in strata if stratum.quantity == quantity])
    with atomic_write(path) as file:
        figure.savefig(file, format="png")
    return path


def _draw(axes: Axes, strata: list[StratumResult]) -> None:
    """Draw the strata of one quantity."""
    places = np.arange(len(strata))
    for shift, (label, field) in enumerate((("AP", "ap"), ("AR100", "ar"))):
        heights = [getattr(stratum, field) for stratum in strata]
        colour = as_hex(CURVE_COLOURS[shift])
        axes.bar(places + (shift - 0.5) * BAR_WIDTH, heights, BAR_WIDTH, color=colour, label=label)
    axes.set_title(strata[0].quantity, loc="left", color=as_hex(INK), fontsize=11)
    names = [f"{stratum.name.replace(' yet', '')}\n{stratum.boxes}" for stratum in strata]
    axes.set_xticks(places, names, fontsize=8)
    axes.set(xlim=(-0.5, len(strata) - 0.5), ylim=(0, 1))  # also where there are no bars
    axes.set_facecolor(as_hex(BACKGROUND))
    axes.tick_params(colors=as_hex(FAINT_INK))
    axes.grid(color=as_hex(GRID), linewidth=0.6, axis="y")
    axes.set_axisbelow(True)
    axes.spines[:].set_color(as_hex(GRID))
    axes.legend(frameon=False, labelcolor=as_hex(INK), fontsize=8)
