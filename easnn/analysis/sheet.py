"""A sheet of one sample: events, output of the sampler, ground truth and detections."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from easnn.analysis.boxes import draw_boxes
from easnn.analysis.canvas import (
    MARGIN_PX,
    Picture,
    blank,
    enlargement,
    line_height,
    paste,
    resize,
    shorten,
    write_legend,
    write_text,
)
from easnn.analysis.frames import draw_embedding, draw_frame, frame_caption, written_share
from easnn.analysis.palette import FAINT_INK, INK, OFF, ON, PAPER, Colour, class_colour
from easnn.analysis.views import SampleView
from easnn.inference import class_label

TITLE_PX = 20
CAPTION_GAP_PX = 4
WIDEST_ROW_PX = 2100
"""Up to three panels are in one row if it is no wider than this; otherwise in two rows."""


def sample_sheet(view: SampleView, class_names: Sequence[str]) -> Picture:
    """Draw a sample: its events, each segment of the sampler, any ground truth, and the detections.

    Panels are an integer multiple of the sensor size, so that pixels stay square.

    Args:
        view: the sample.
        class_names: names by class.

    Returns:
        The sheet [H,W,3].
    """
    panels = list(_panels(view, class_names))
    height, width = panels[0][1].shape[:2]
    in_one_row = len(panels) <= 3 and len(panels) * width <= WIDEST_ROW_PX
    columns = len(panels) if in_one_row else math.ceil(len(panels) / 2)
    rows = math.ceil(len(panels) / columns)
    caption_step = line_height() + CAPTION_GAP_PX
    row_step, column_step = caption_step + height + MARGIN_PX, width + MARGIN_PX
    first_row = line_height(TITLE_PX) + 2 * MARGIN_PX
    legend_top = first_row + rows * row_step

    sheet = blank(
        (legend_top + line_height() + MARGIN_PX, columns * column_step + MARGIN_PX), PAPER
    )
    title = shorten(
        f"{view.sequence} · {view.time_us / 1e6:.3f} s",
        sheet.shape[1] - 2 * MARGIN_PX,
        TITLE_PX,
        bold=True,
    )
    sheet = write_text(sheet, title, (MARGIN_PX, MARGIN_PX), INK, TITLE_PX, bold=True)
    for n, (caption, panel) in enumerate(panels):
        y, x = first_row + n // columns * row_step, MARGIN_PX + n % columns * column_step
        sheet = write_text(sheet, shorten(caption, width), (y, x), FAINT_INK)
        sheet = paste(sheet, panel, (y + caption_step, x))
    return write_legend(sheet, _legend(view, class_names), (legend_top, MARGIN_PX))


def _panels(view: SampleView, class_names: Sequence[str]) -> Iterator[tuple[str, Picture]]:
    """Yield the caption and picture of each panel, all of the same size."""
    scale = enlargement(view.sensor_hw)
    panel_hw = (view.sensor_hw[0] * scale, view.sensor_hw[1] * scale)
    events = resize(draw_frame(view.counts, view.spec), panel_hw)
    yield frame_caption(view.spec), events
    for n, segment in enumerate(view.written, start=1):
        number = f" · segment {n} of {len(view.written)}" if len(view.written) > 1 else ""
        caption = f"Written by the sampler{number} · {written_share(segment):.1%} of the pixels"
        yield caption, resize(draw_embedding(segment), panel_hw)
    if view.ground_truth is not None:
        boxes = view.ground_truth
        drawn = draw_boxes(events, boxes[:, 1:], boxes[:, 0], class_names, scale=scale)
        yield f"Ground truth · {len(boxes)}", drawn
    boxes = view.detections
    drawn = draw_boxes(
        events, boxes[:, 2:], boxes[:, 0], class_names, scores=boxes[:, 1], scale=scale
    )
    yield f"Detections · {len(boxes)}", drawn


def _legend(view: SampleView, class_names: Sequence[str]) -> list[tuple[str, Colour]]:
    """Return the colours of both polarities and of the classes that occur."""
    labelled = [] if view.ground_truth is None else view.ground_truth[:, 0].astype(int).tolist()
    present = sorted({*labelled, *view.detections[:, 0].astype(int).tolist()})
    return [
        ("ON", ON),
        ("OFF", OFF),
        *((class_label(c, class_names), class_colour(c)) for c in present),
    ]
