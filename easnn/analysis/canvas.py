"""Pictures as arrays: resizing, pasting, writing text and saving.

A picture is RGB, uint8 [H,W,3]. Every function returns a new one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from easnn.analysis.palette import FAINT_INK, Colour
from easnn.utils.files import atomic_write

Picture: TypeAlias = npt.NDArray[np.uint8]

TEXT_PX = 15
"""Default text size."""
MARGIN_PX = 16
"""Space around and between the parts of a picture."""


def blank(hw: tuple[int, int], colour: Colour) -> Picture:
    """Return a picture [H,W,3] of one colour."""
    return np.full((*hw, 3), colour, dtype=np.uint8)


def enlargement(sensor_hw: tuple[int, int], target_width_px: int = 600) -> int:
    """Return the integer factor ≥ 1 that scales a sensor closest to ``target_width_px`` wide."""
    return max(1, round(target_width_px / sensor_hw[1]))


def resize(picture: Picture, hw: tuple[int, int]) -> Picture:
    """Resize a picture: nearest neighbour for enlarging, area averaging for shrinking."""
    shrinks = hw[0] < picture.shape[0] or hw[1] < picture.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    return np.asarray(
        cv2.resize(picture, (hw[1], hw[0]), interpolation=interpolation), dtype=np.uint8
    )


def paste(picture: Picture, part: Picture, top_left: tuple[int, int]) -> Picture:
    """Return ``picture`` with ``part`` at ``top_left`` (y, x), cropped at the right and bottom."""
    top, left = top_left
    result = picture.copy()
    covered = result[top : top + part.shape[0], left : left + part.shape[1]]
    covered[:] = part[: covered.shape[0], : covered.shape[1]]
    return result


def text_width(text: str, size_px: int = TEXT_PX, *, bold: bool = False) -> int:
    """Return the width of ``text`` in pixels."""
    return round(_font(size_px, bold).getlength(text))


def line_height(size_px: int = TEXT_PX) -> int:
    """Return the height of a line of text of that size in pixels."""
    return sum(_font(size_px, False).getmetrics())


def shorten(text: str, width_px: int, size_px: int = TEXT_PX, *, bold: bool = False) -> str:
    """Return ``text``, truncated with an ellipsis if it is wider than ``width_px``."""
    if text_width(text, size_px, bold=bold) <= width_px:
        return text
    fitting = (text[:n].rstrip() + "…" for n in range(len(text) - 1, 0, -1))
    return next((t for t in fitting if text_width(t, size_px, bold=bold) <= width_px), "")


def write_text(
    picture: Picture,
    text: str,
    top_left: tuple[int, int],
    colour: Colour,
    size_px: int = TEXT_PX,
    *,
    bold: bool = False,
) -> Picture:
    """Return ``picture`` with a line of anti-aliased text at ``top_left`` (y, x)."""
    top, left = top_left
    mask = Image.new("L", (max(text_width(text, size_px, bold=bold), 1), line_height(size_px)))
    ImageDraw.Draw(mask).text((0, 0), text, fill=255, font=_font(size_px, bold))
    result = picture.copy()
    covered = result[top : top + mask.height, left : left + mask.width]
    opacity = np.asarray(mask, dtype=np.float32)[: covered.shape[0], : covered.shape[1], None] / 255
    covered[:] = np.rint(covered + opacity * (np.asarray(colour, dtype=np.float32) - covered))
    return result


def write_legend(
    picture: Picture, entries: Iterable[tuple[str, Colour]], top_left: tuple[int, int]
) -> Picture:
    """Return ``picture`` with a line of names after patches of their colours, as many as fit."""
    top, left = top_left
    side, gap = line_height() - 6, 6
    for name, colour in entries:
        width = side + gap + text_width(name)
        if left + width > picture.shape[1] - MARGIN_PX:
            break
        picture = paste(picture, blank((side, side), colour), (top + 3, left))
        picture = write_text(picture, name, (top, left + side + gap), FAINT_INK)
        left += width + MARGIN_PX
    return picture


def write_picture(path: Path, picture: Picture) -> None:
    """Write a picture as PNG.

    Raises:
        OutputError: if the file cannot be written.
    """
    with atomic_write(path) as file:
        Image.fromarray(picture).save(file, format="PNG", optimize=True)


@lru_cache(maxsize=16)
def _font(size_px: int, bold: bool) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which comes with matplotlib, so that curves and pictures share a font."""
    properties = font_manager.FontProperties(
        family="DejaVu Sans", weight="bold" if bold else "normal"
    )
    return ImageFont.truetype(font_manager.findfont(properties), size_px)
