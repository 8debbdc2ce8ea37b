"""The colours of all pictures.

Events are blue (ON) and orange (OFF) on a near-black background, a pair that colour-blind readers
can distinguish; the colours of classes are far from both. All values are RGB, 0 to 255.
"""

from __future__ import annotations

import matplotlib
import numpy as np

Colour = tuple[int, int, int]

BACKGROUND: Colour = (16, 20, 28)
"""Pixels without events."""
PAPER: Colour = (28, 33, 43)
"""The sheet around the panels."""
INK: Colour = (232, 236, 242)
"""Titles."""
FAINT_INK: Colour = (150, 160, 175)
"""Secondary text: captions, legends, time stamps."""
ON: Colour = (56, 189, 248)
"""Events of polarity 1, brighter."""
OFF: Colour = (255, 152, 62)
"""Events of polarity 0, darker."""
GROUND_TRUTH: Colour = (255, 255, 255)
"""Ground truth boxes in pictures with detections."""
POSITIVE: Colour = (255, 221, 87)
"""Values above zero in signed maps."""
NEGATIVE: Colour = (255, 121, 198)
"""Values below zero in signed maps."""

CLASS_COLOURS: tuple[Colour, ...] = (
    (255, 221, 87),
    (94, 226, 140),
    (255, 121, 198),
    (189, 160, 255),
    (64, 224, 208),
    (255, 105, 105),
    (198, 230, 90),
    (214, 190, 150),
)

GRID: Colour = (48, 55, 68)
"""Grid lines and frames of plots."""
CURVE_COLOURS: tuple[Colour, ...] = (ON, OFF, *CLASS_COLOURS[1:4])


def class_colour(class_id: int) -> Colour:
    """Return the colour of a class; the colours repeat after the last one."""
    return CLASS_COLOURS[class_id % len(CLASS_COLOURS)]


def step_colours(count: int) -> list[Colour]:
    """Return the colours of ``count`` sampling steps, from lime for the newest slice to violet."""
    shades = matplotlib.colormaps["viridis"](np.linspace(0.92, 0.25, count))[:, :3]
    return [(int(r), int(g), int(b)) for r, g, b in np.rint(255 * shades)]


def as_hex(colour: Colour) -> str:
    """Return ``colour`` as ``#rrggbb``, the notation of plotting libraries."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
