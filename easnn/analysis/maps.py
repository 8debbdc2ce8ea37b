"""What the sampler did at each pixel, as colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from easnn.analysis.canvas import Picture
from easnn.analysis.frames import FULL_PERCENTILE, polarities, shine
from easnn.analysis.palette import BACKGROUND, NEGATIVE, POSITIVE, step_colours


def draw_spikes(spikes: npt.NDArray[np.bool_]) -> Picture:
    """Draw where the channels [C,H,W] fired, in the colours of their events: both give white.

    One channel has the colour of ON events; of four, those between the first and the last give half
    of both.
    """
    off, on = polarities(spikes.astype(np.float64))
    return shine(np.minimum(off, 1), np.minimum(on, 1))


def draw_steps(step: npt.NDArray[np.integer[Any]], count: int) -> Picture:
    """Draw a step [H,W] of ``count`` per pixel in its colour of ``step_colours``; nothing where it is −1."""
    picture: Picture = np.array([*step_colours(count), BACKGROUND], dtype=np.uint8)[step]
    return picture


def full_strength(values: npt.NDArray[Any]) -> float:
    """Return the size of a value that :func:`draw_signed` draws at full strength; 0 if all values are 0.

    It is exceeded by few of the values that are not 0, see
    :data:`~easnn.analysis.frames.FULL_PERCENTILE`.
    """
    sizes = np.abs(values[values != 0])
    return float(np.percentile(sizes, FULL_PERCENTILE)) if sizes.size else 0.0


def draw_signed(values: npt.NDArray[Any], full: float) -> Picture:
    """Draw values [H,W] by their sign; the strength is the square root of their size, and full at ``full``."""
    strength = np.sqrt(np.clip(np.abs(values) / (full or 1.0), 0, 1))
    return shine(strength * (values < 0), strength * (values > 0), (NEGATIVE, POSITIVE))
