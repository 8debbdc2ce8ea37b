"""Which times of the labels become frames, and when the histograms end."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]

HISTOGRAM_US = 50_000
"""Length of a histogram's window, and time between two of them."""
FIRST_LABEL_US = 100_000
JITTER_US = 2_000
USUAL_PERIOD_US = 100_000


def label_frames(times_us: Times, period_us: int | None) -> Times:
    """Choose the times of the labels that become frames.

    The first is the first one from 100 ms on; each other one is a multiple of the period after the one before
    it, give or take 2 ms.

    Args:
        times_us: distinct times of the labels, rising.
        period_us: the period; None for about 100 ms, a multiple of the median time between two labels.
    """
    if period_us is None:
        period_us = _period_of(times_us)
    chosen: list[int] = []
    for time_us in times_us[times_us >= FIRST_LABEL_US].tolist():
        if chosen:
            since_us = time_us - chosen[-1]
            count = round(since_us / period_us)
            if count == 0 or abs(since_us - count * period_us) > JITTER_US:
                continue
        chosen.append(time_us)
    return np.array(chosen, np.int64)


def histogram_ends(frames_us: Times) -> tuple[Times, Times]:
    """Return when the histograms end, and which of them ends at each frame.

    From one frame to the next they end at even steps of about 50 ms. Before the first frame they go back in
    steps of 50 ms while the end is later than 0, but for the earliest of these.

    Args:
        frames_us: times of the frames, rising; at least one.

    Returns:
        The ends [N], and the numbers of histograms [frames].
    """
    before = np.arange(frames_us[0], 0, -HISTOGRAM_US)[1:-1][::-1]
    steps = np.maximum(np.rint(np.diff(frames_us) / HISTOGRAM_US).astype(np.int64), 1)
    between = [
        np.linspace(start, stop, count + 1).astype(np.int64)[1:]
        for start, stop, count in zip(frames_us, frames_us[1:], steps, strict=False)
    ]
    numbers = len(before) + np.concatenate([[0], np.cumsum(steps)])
    return np.concatenate([before, frames_us[:1], *between]), numbers


def _period_of(times_us: Times) -> int:
    if len(times_us) < 2:
        return USUAL_PERIOD_US
    median_us = float(np.median(np.diff(times_us)))
    return round(median_us * max(1, round(USUAL_PERIOD_US / median_us)))
