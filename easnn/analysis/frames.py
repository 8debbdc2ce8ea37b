"""Drawing event frames and the output of the embedding as colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from easnn.analysis.canvas import Picture
from easnn.analysis.palette import BACKGROUND, OFF, ON, Colour
from easnn.representations import FrameSpec

EVENT_OPACITY = 0.4
"""Part of the visible background that each event covers, so that many events saturate."""

FULL_PERCENTILE = 98
"""Percentile of the values of an embedding frame that is drawn at full strength."""


CAPTIONS = {
    "timesurface": "Time surface · stronger is more recent",
    "voxel_grid": "Voxel grid · sum of its steps",
    "voxel_cube": "Voxel cube · early OFF, late ON, all else as both",
}
"""Captions of the representations that are not counts per polarity, see :func:`draw_frame`."""


def draw_frame(frame: npt.NDArray[Any], spec: FrameSpec) -> Picture:
    """Draw the representation of a window at sensor resolution.

    For a ``timesurface`` the last slice is drawn, with colours as strong as its values: at full
    strength where an event has just occurred. For any other representation all slices are drawn
    together, see :func:`draw_events`.

    Args:
        frame: the representation [..., C, H, W]; the leading axes are slices, the newest last.
        spec: the representation and its settings.

    Returns:
        The picture [H,W,3].
    """
    if spec.aggregation == "timesurface":
        off, on = frame.reshape(-1, *frame.shape[-3:])[-1].astype(np.float64)
        return shine(off, on)
    return draw_events(frame)


def frame_caption(spec: FrameSpec) -> str:
    """Return the caption of a picture of :func:`draw_frame`."""
    caption = CAPTIONS.get(spec.aggregation, "Events")
    return f"{caption} · weaker is older" if spec.measure == "timesurface" else caption


def draw_events(counts: npt.NDArray[Any]) -> Picture:
    """Draw the number of events of each pixel at sensor resolution.

    Each event covers :data:`EVENT_OPACITY` of the background that the other events of its polarity
    left visible. Where both polarities occur, their colours add up towards white.

    Args:
        counts: number of events [..., 2, H, W], channel 0 OFF and 1 ON; the leading axes (slices)
            are summed. One channel [..., 1, H, W] is signed: negative OFF, positive ON. Four
            channels are those of a ``voxel_cube``: the first is OFF, the last is ON, and the other
            two count half for each.

    Returns:
        The picture [H,W,3].
    """
    off, on = polarities(counts.reshape(-1, *counts.shape[-3:]).sum(axis=0, dtype=np.float64))
    return shine(1 - (1 - EVENT_OPACITY) ** off, 1 - (1 - EVENT_OPACITY) ** on)


def draw_embedding(frame: npt.NDArray[Any]) -> Picture:
    """Draw one frame of the output of the embedding.

    Its values have no unit, and an arbitrary offset where nothing happens. Each channel is
    therefore drawn relative to its median. The strength of its colour is the square root of the
    distance from the median, because a few values are much larger than the rest; it is full at
    :data:`FULL_PERCENTILE` of the nonzero distances.

    Args:
        frame: output of the embedding [C,H,W]; two channels have the colours of OFF and ON events.
            One channel is split by its sign, four are drawn like those of a ``voxel_cube``.

    Returns:
        The picture [H,W,3].
    """
    departure = _departure(frame)
    off, on = polarities(departure if len(departure) == 1 else np.abs(departure))
    distances = np.maximum(off, on)
    distances = distances[distances > 0]
    full = np.percentile(distances, FULL_PERCENTILE) if distances.size else 1.0
    return shine(np.sqrt(np.minimum(off / full, 1)), np.sqrt(np.minimum(on / full, 1)))


def written_share(frame: npt.NDArray[Any]) -> float:
    """Return the share of pixels in which a frame [C,H,W] differs from the channel's median."""
    return float(_departure(frame).any(axis=0).mean())


def _departure(frame: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the difference of each value from the median of its channel, [C,H,W]."""
    return frame - np.median(frame, axis=(1, 2), keepdims=True)


def polarities(frame: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Split a frame [2,H,W], a signed one [1,H,W] or a voxel cube [4,H,W] into OFF and ON [H,W]."""
    if len(frame) == 1:
        return np.maximum(-frame[0], 0), np.maximum(frame[0], 0)
    shared = frame[1:-1].sum(axis=0) / 2
    return frame[0] + shared, frame[-1] + shared


def shine(
    first: npt.NDArray[Any], second: npt.NDArray[Any], colours: tuple[Colour, Colour] = (OFF, ON)
) -> Picture:
    """Add two colours with opacities [H,W] in 0..1 to the background."""
    darkness = _darkness(BACKGROUND) * _cover(first, colours[0]) * _cover(second, colours[1])
    return np.rint(255 * (1 - darkness)).astype(np.uint8)


def _cover(opacity: npt.NDArray[Any], colour: Colour) -> npt.NDArray[Any]:
    """Return the share of the background's darkness that a layer leaves, [H,W,3]."""
    return 1 - opacity[..., None] * (1 - _darkness(colour) / _darkness(BACKGROUND))


def _darkness(colour: Colour) -> npt.NDArray[np.float64]:
    return 1 - np.asarray(colour) / 255
