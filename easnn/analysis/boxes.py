"""Drawing boxes with labels that stay inside the picture and overlap as little as possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from easnn.analysis.canvas import (
    Picture,
    blank,
    line_height,
    paste,
    shorten,
    text_width,
    write_text,
)
from easnn.analysis.palette import BACKGROUND, Colour, class_colour
from easnn.inference import class_label

LABEL_PX = 13
PADDING_PX = 4

Area = tuple[int, int, int, int]
"""(top, left, bottom, right) in pixels of a picture, bottom and right not included."""


def draw_boxes(
    picture: Picture,
    boxes_xywh: npt.NDArray[Any],
    class_ids: npt.NDArray[Any],
    class_names: Sequence[str],
    *,
    scores: npt.NDArray[Any] | None = None,
    scale: float = 1,
) -> Picture:
    """Draw labelled boxes over a picture.

    Args:
        picture: the picture [H,W,3].
        boxes_xywh: boxes [N,4] (left, top, width, height) in sensor pixels; they may extend beyond
            the picture.
        class_ids: class of each box [N]; a class without a name is labelled with its number.
        class_names: names by class.
        scores: confidence of each box [N], written after its class; the most confident box is drawn
            on top, or the first one without scores.
        scale: picture pixels per sensor pixel.

    Returns:
        The picture with the boxes.
    """
    top_first = np.arange(len(boxes_xywh)) if scores is None else np.argsort(-scores, kind="stable")
    areas = [_area(box, scale) for box in boxes_xywh]
    result = picture.copy()
    for i in top_first[::-1]:
        _outline(result, areas[i], class_colour(int(class_ids[i])))
    chips: list[tuple[Picture, Area]] = []
    for i in top_first:
        name = class_label(int(class_ids[i]), class_names)
        text = name if scores is None else f"{name} {scores[i]:.2f}"
        chip = _chip(text, int(class_ids[i]), picture.shape[1])
        taken = [place for _, place in chips]
        chips.append((chip, _free_place(areas[i], chip.shape[:2], picture.shape[:2], taken)))
    for chip, place in reversed(chips):
        result = paste(result, chip, place[:2])
    return result


def draw_outlines(
    picture: Picture, boxes_xywh: npt.NDArray[Any], colour: Colour, *, scale: float = 1
) -> Picture:
    """Draw boxes without labels in one colour; arguments as in :func:`draw_boxes`."""
    result = picture.copy()
    for box in boxes_xywh:
        _outline(result, _area(box, scale), colour)
    return result


def _area(box_xywh: npt.NDArray[Any], scale: float) -> Area:
    """Return the picture pixels covered by a box, at least one."""
    x, y, w, h = (float(value) * scale for value in box_xywh)
    top, left = round(y), round(x)
    return top, left, max(round(y + h), top + 1), max(round(x + w), left + 1)


def _outline(picture: Picture, area: Area, box_colour: Colour) -> None:
    """Draw a box into ``picture``, with a dark border that separates it from the events."""
    top, left, bottom, right = area
    for colour, thickness in ((BACKGROUND, 4), (box_colour, 2)):
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), colour, thickness, cv2.LINE_AA)


def _chip(text: str, class_id: int, room_px: int) -> Picture:
    """Return a label in dark text on the colour of its class, at most ``room_px`` wide."""
    text = shorten(text, room_px - 2 * PADDING_PX, LABEL_PX, bold=True)
    width = min(text_width(text, LABEL_PX, bold=True) + 2 * PADDING_PX, room_px)
    ground = blank((line_height(LABEL_PX) + 2, width), class_colour(class_id))
    return write_text(ground, text, (1, PADDING_PX), BACKGROUND, LABEL_PX, bold=True)


def _free_place(
    box: Area, label_hw: tuple[int, int], picture_hw: tuple[int, int], taken: Sequence[Area]
) -> Area:
    """Choose the place of the label of ``box``: above, below or inside it.

    The first place that overlaps no other label is taken, or the one above if there is none. The
    label is always moved inside the picture.
    """
    height, width = label_hw
    top, left, bottom, right = box
    corners = (
        (top - height, left - 1),
        (bottom, left - 1),
        (top, left),
        (bottom - height, left),
        (top, right - width),
        (top - height, right - width),
    )
    places = [
        (y, x, y + height, x + width)
        for y, x in (
            (_inside(y, height, picture_hw[0]), _inside(x, width, picture_hw[1]))
            for y, x in corners
        )
    ]
    return next(
        (place for place in places if not any(_overlap(place, other) for other in taken)), places[0]
    )


def _inside(start: int, length: int, room: int) -> int:
    """Return ``start`` clamped so that ``[start, start + length)`` is inside ``[0, room)``."""
    return max(min(start, room - length), 0)


def _overlap(a: Area, b: Area) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
