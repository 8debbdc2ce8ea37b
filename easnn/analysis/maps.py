"""Drawing per-pixel quantities of the sampler as colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from easnn.analysis.canvas import Picture
from easnn.analysis.frames import FULL_PERCENTILE, polarities, shine
from easnn.analysis.palette import BACKGROUND, NEGATIVE, POSITIVE, step_colours


def draw_spikes(spikes: npt.NDArray[np.bool_]) -> Picture:
    """Draw the spikes of the channels [C,H,W] in the colours of their events; both give white.

    One channel has the colour of ON events. Of four channels, the middle two count half for each
    colour.
    """
    off, on = polarities(spikes.astype(np.float64))
    return shine(np.minimum(off, 1), np.minimum(on, 1))


def draw_steps(step: npt.NDArray[np.integer[Any]], count: int) -> Picture:
    """Draw the step of each pixel [H,W] in its colour of ``count`` ones; −1 is background."""
    return np.array([*step_colours(count), BACKGROUND], dtype=np.uint8)[step]


def full_strength(values: npt.NDArray[Any]) -> float:
    """Return the magnitude that :func:`draw_signed` draws at full strength; 0 if all values are 0.

    It is a percentile of the nonzero magnitudes, see
    :data:`~easnn.analysis.frames.FULL_PERCENTILE`.
    """
    sizes = np.abs(values[values != 0])
    return float(np.percentile(sizes, FULL_PERCENTILE)) if sizes.size else 0.0


def draw_signed(values: npt.NDArray[Any], full: float) -> Picture:
    """Draw values [H,W] by sign, with the strength √(|value|/full)."""
    strength = np.sqrt(np.clip(np.abs(values) / (full or 1.0), 0, 1))
    return shine(strength * (values < 0), strength * (values > 0), (NEGATIVE, POSITIVE))
