"""Events and what the sampler made of them, as colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from easnn.analysis.canvas import Picture
from easnn.analysis.palette import BACKGROUND, OFF, ON, Colour
from easnn.representations import FrameSpec

EVENT_OPACITY = 0.4
"""Part of the still visible ground that one more event covers: the first is plain, the tenth hardly shows."""

FULL_PERCENTILE = 98
"""Percentile of a sampler frame's values that is drawn at full strength."""


CAPTIONS = {
    "timesurface": "Time surface · the stronger the more recent",
    "voxel_grid": "Voxel grid · sum of its steps",
    "voxel_cube": "Voxel cube · early OFF, late ON, all else as both",
}
"""What :func:`draw_frame` shows of a representation that is not a count per polarity."""


def draw_frame(frame: npt.NDArray[Any], spec: FrameSpec) -> Picture:
    """Draw the representation of a window, at sensor resolution.

    Of a ``timesurface`` the last slice is drawn, the colours as strong as its values: at full
    strength where an event has just come. Of any other representation all slices together, see
    :func:`draw_events`.

    Args:
        frame: the representation [..., C, H, W]; the leading axes are slices, the last one the
            newest.
        spec: how it was made.

    Returns:
        The picture [H,W,3].
    """
    if spec.aggregation == "timesurface":
        off, on = frame.reshape(-1, *frame.shape[-3:])[-1].astype(np.float64)
        return shine(off, on)
    return draw_events(frame)


def frame_caption(spec: FrameSpec) -> str:
    """Return what to write above a picture of :func:`draw_frame`."""
    caption = CAPTIONS.get(spec.aggregation, "Events")
    return f"{caption} · the weaker the older" if spec.measure == "timesurface" else caption


def draw_events(counts: npt.NDArray[Any]) -> Picture:
    """Draw how many events each pixel saw, at sensor resolution.

    Each event covers :data:`EVENT_OPACITY` of the ground that the others of its polarity left
    visible; where both polarities occur, their light adds up towards white.

    Args:
        counts: numbers of events [..., 2, H, W], channel 0 OFF and 1 ON; the leading axes, slices,
            are summed. With one channel [..., 1, H, W], signed: negative OFF, positive ON. With
                four, those of a
            ``voxel_cube``: the first OFF, the last ON, and of those between them half for each.

    Returns:
        The picture [H,W,3].
    """
    off, on = polarities(counts.reshape(-1, *counts.shape[-3:]).sum(axis=0, dtype=np.float64))
    return shine(1 - (1 - EVENT_OPACITY) ** off, 1 - (1 - EVENT_OPACITY) ** on)


def draw_embedding(frame: npt.NDArray[Any]) -> Picture:
    """Draw one frame that the sampler wrote for the detector.

    Its values have no unit, and an arbitrary offset where nothing happens. So each channel is taken
    relative to its median. The strength of its colour is the square root of the distance from it,
    because a few values are many times as large as the rest; it is full at :data:`FULL_PERCENTILE`
    of the distances above zero.

    Args:
        frame: what the sampler wrote [C,H,W]; the two channels have the colours of OFF and ON
            events. One channel is split by its sign, four as those of a ``voxel_cube``.

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
    """Return the share of the pixels in which what the sampler wrote [C,H,W] departs from its median."""
    return float(_departure(frame).any(axis=0).mean())


def _departure(frame: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return how far each value is from the median of its channel, [C,H,W]."""
    departure: npt.NDArray[Any] = frame - np.median(frame, axis=(1, 2), keepdims=True)
    return departure


def polarities(frame: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Split a frame [2,H,W], a signed one [1,H,W], or a voxel cube [4,H,W], into OFF and ON [H,W]."""
    if len(frame) == 1:
        return np.maximum(-frame[0], 0), np.maximum(frame[0], 0)
    shared = frame[1:-1].sum(axis=0) / 2
    return frame[0] + shared, frame[-1] + shared


def shine(
    first: npt.NDArray[Any], second: npt.NDArray[Any], colours: tuple[Colour, Colour] = (OFF, ON)
) -> Picture:
    """Add the light of two colours, given by opacities [H,W] in 0..1, to the ground."""
    darkness = _darkness(BACKGROUND) * _cover(first, colours[0]) * _cover(second, colours[1])
    picture: Picture = np.rint(255 * (1 - darkness)).astype(np.uint8)
    return picture


def _cover(opacity: npt.NDArray[Any], colour: Colour) -> npt.NDArray[Any]:
    """Return what a layer of ``colour`` leaves of the ground's distance to white, as a factor [H,W,3]."""
    return 1 - opacity[..., None] * (1 - _darkness(colour) / _darkness(BACKGROUND))


def _darkness(colour: Colour) -> npt.NDArray[np.float64]:
    return 1 - np.asarray(colour) / 255
