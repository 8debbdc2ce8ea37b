"""Grids of small pictures: a title above each group, a caption above each picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from easnn.analysis.canvas import (
    MARGIN_PX,
    Picture,
    blank,
    line_height,
    paste,
    shorten,
    write_legend,
    write_text,
)
from easnn.analysis.palette import FAINT_INK, INK, PAPER, Colour

TITLE_PX = 20
GAP_PX = 4
PATCH_PX = line_height() - 6


@dataclass(frozen=True)
class Panel:
    """A picture and its caption, which may follow a patch of the colour that stands for it."""

    caption: str
    picture: Picture
    colour: Colour | None = None


@dataclass(frozen=True)
class Group:
    """Panels that belong together, with a title."""

    title: str
    panels: Sequence[Panel]


def panel_grid(
    title: str, groups: Sequence[Group], columns: int, legend: Sequence[tuple[str, Colour]]
) -> Picture:
    """Arrange groups of panels in rows.

    A group is placed next to the previous one if all of it fits into the row; otherwise it starts a
    new row.

    Args:
        title: title of the sheet.
        groups: at least one; their panels all have the same size.
        columns: number of panels in a row.
        legend: names and colours for the last line.

    Returns:
        The sheet [H,W,3].
    """
    places = list(_places(groups, columns))
    height, width = groups[0].panels[0].picture.shape[:2]
    column_step, line = width + MARGIN_PX, line_height() + GAP_PX
    row_step = 2 * line + height + MARGIN_PX
    first_row = line_height(TITLE_PX) + 2 * MARGIN_PX
    legend_top = first_row + (places[-1][0] + 1) * row_step
    sheet = blank(
        (legend_top + line_height() + MARGIN_PX, columns * column_step + MARGIN_PX), PAPER
    )
    room = sheet.shape[1] - 2 * MARGIN_PX
    sheet = write_text(
        sheet,
        shorten(title, room, TITLE_PX, bold=True),
        (MARGIN_PX, MARGIN_PX),
        INK,
        TITLE_PX,
        bold=True,
    )
    for row, column, group_title, span, panel in places:
        y, x = first_row + row * row_step, MARGIN_PX + column * column_step
        sheet = write_text(sheet, shorten(group_title, span * column_step - MARGIN_PX), (y, x), INK)
        sheet = _write_caption(sheet, panel, (y + line, x))
        sheet = paste(sheet, panel.picture, (y + 2 * line, x))
    return write_legend(sheet, legend, (legend_top, MARGIN_PX))


def _places(groups: Sequence[Group], columns: int) -> Iterator[tuple[int, int, str, int, Panel]]:
    """Yield row, column, title (empty except for a group's first panel), its columns, and panel."""
    row = column = 0
    for group in groups:
        count = len(group.panels)
        if column and column + count > columns:
            row, column = row + 1, 0
        span = min(count, columns - column)
        for n, panel in enumerate(group.panels):
            if column == columns:
                row, column = row + 1, 0
            yield row, column, "" if n else group.title, span, panel
            column += 1


def _write_caption(sheet: Picture, panel: Panel, top_left: tuple[int, int]) -> Picture:
    top, left = top_left
    room = panel.picture.shape[1]
    if panel.colour is not None:
        sheet = paste(sheet, blank((PATCH_PX, PATCH_PX), panel.colour), (top + 3, left))
        left, room = left + PATCH_PX + GAP_PX, room - PATCH_PX - GAP_PX
    return write_text(sheet, shorten(panel.caption, room), (top, left), FAINT_INK)
