"""Rules of RVT's preprocessing: which labels it keeps, and when its histograms end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easnn.data.automotive import GEN1, GEN4, GEN4_ALL, AutomotiveKind
from easnn.data.label_filter import GEN1_FILTER, GEN4_FILTER, LabelFilter

Times = npt.NDArray[np.int64]

HISTOGRAM_US = 50_000
"""Length of the window of a histogram, and time between two of them."""
FIRST_LABEL_US = 100_000
JITTER_US = 2_000
USUAL_PERIOD_US = 100_000


@dataclass(frozen=True)
class RvtRules:
    """How a dataset is preprocessed for RVT.

    Attributes:
        kind: which dataset it is.
        label_filter: which boxes are kept.
        label_period_us: time between two labelled frames, None for about 100 ms, a multiple of the
            median time between two labels.
        halved: whether the histograms have half the resolution.
    """

    kind: AutomotiveKind
    label_filter: LabelFilter
    label_period_us: int | None
    halved: bool


RULES = {
    rules.kind.name: rules
    for rules in (
        RvtRules(GEN1, GEN1_FILTER, label_period_us=250_000, halved=False),
        RvtRules(GEN4, GEN4_FILTER, label_period_us=None, halved=True),
        RvtRules(GEN4_ALL, GEN4_FILTER, label_period_us=None, halved=True),
    )
}
"""By the name of the dataset."""


def label_frames(times_us: Times, period_us: int | None) -> Times:
    """Choose the label times that become frames.

    The first is the first one from 100 ms on; each later one is a multiple of the period after the
    previous one, within 2 ms.

    Args:
        times_us: distinct label times, in increasing order.
        period_us: the period; None for about 100 ms, a multiple of the median time between two
            labels.
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
    """Return the times at which histograms end, and which histogram ends at each frame.

    From one frame to the next, histograms end at even steps of about 50 ms. Before the first frame
    they end every 50 ms, counted backwards while the end is later than 0, without the earliest of
    these.

    Args:
        frames_us: times of the frames, in increasing order; at least one.

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
