"""Average precision by strata: how fast objects are, how long they have stood still, and others.

The ground truth outside of a stratum is ignored, as COCO ignores boxes of other sizes: a detection
that matches it is neither a hit nor an error.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from easnn.evaluation.average_precision import AREA_BOUNDS, PrecisionRecall, precision_recall
from easnn.evaluation.result import StratumResult
from easnn.evaluation.table import Floats, FrameTable, Mask

SPEEDS_PX_S = (0.0, 5.0, 20.0, 80.0, math.inf)
SILENCES_S = (0.0, 0.5, 1.0, 2.0, math.inf)
VISIBLE = (0.0, 0.5, 0.9, 1.0)
TINY = 1e-9
WINDOWS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, math.inf)


class _Stratum(NamedTuple):
    """Which boxes belong to a stratum; see :class:`StratumResult` for its names."""

    quantity: str
    name: str
    boxes: Mask


@dataclass(frozen=True)
class StrataRequest:
    """What the strata need to know besides the frames.

    Attributes:
        window_us: length of the window of a frame; 0 if it is the whole recording, so that there
            are no strata of windows.
        silence_by_events: whether ``still_s`` is measured from events, instead of labelled.
    """

    window_us: int
    silence_by_events: bool = False


def results_by_strata(
    table: FrameTable, num_classes: int, curves: PrecisionRecall, request: StrataRequest
) -> tuple[StratumResult, ...]:
    """Return the precision and recall of each stratum.

    Strata of the size are those of COCO. Strata of windows divide the frames: a frame and its
    detections are scored in one stratum only. For all others, a detection that matches nothing is
    an error in every stratum, because it has neither a speed nor a history.

    Args:
        table: the frames, as the protocol scores them.
        num_classes: number of classes.
        curves: the result of the whole table.
        request: what else is needed.

    Returns:
        The strata, those of the same quantity one after another. Quantities that are not known of
        any box are left out.
    """
    return (
        *_by_motion(table, num_classes, request),
        *_by_windows(table, num_classes, request.window_us),
        *_by_size(table, curves),
    )


def _by_motion(
    table: FrameTable, num_classes: int, request: StrataRequest
) -> Iterator[StratumResult]:
    for stratum in _motion_strata(table, request.silence_by_events):
        curves = precision_recall(table, num_classes, scored=stratum.boxes)
        yield _result(stratum.quantity, stratum.name, curves, int(stratum.boxes.sum()))


def _motion_strata(table: FrameTable, by_events: bool) -> Iterator[_Stratum]:
    still_s, speeds, visible = table.motion.T
    if not np.isnan(still_s).all():
        # Labels are stored in float32; so is the time of one that has not moved at all.
        times_s = (table.times_us[table.box_frame] / 1e6).astype(np.float32)
        silence = "silence by events (s)" if by_events else "silence (s)"
        never = (still_s >= times_s) & (still_s > 0)
        yield _Stratum(silence, "moves", still_s == 0)
        for name, boxes in _between(still_s, SILENCES_S):
            yield _Stratum(silence, name, boxes & ~never)
        yield _Stratum(silence, "not moved yet", never)
    if not np.isnan(speeds).all():
        yield _Stratum("speed (px/s)", "0", speeds == 0)
        for name, boxes in _between(speeds, SPEEDS_PX_S):
            yield _Stratum("speed (px/s)", name, boxes)
    if not np.isnan(visible).all():
        for name, boxes in _between(visible, VISIBLE):
            yield _Stratum("visible share", name, boxes)


def _by_windows(table: FrameTable, num_classes: int, window_us: int) -> Iterator[StratumResult]:
    if window_us == 0:
        return
    every_box = np.ones(len(table.boxes), dtype=bool)
    every_detection = np.ones(len(table.detections), dtype=bool)
    windows = np.maximum(table.times_us / window_us, TINY)  # a label at time 0 is in the first
    for name, frames in _between(windows, WINDOWS):
        part = table.keep(frames, every_box, every_detection)
        curves = precision_recall(part, num_classes)
        yield _result("windows since the start", name, curves, part.counts.boxes)


def _by_size(table: FrameTable, curves: PrecisionRecall) -> Iterator[StratumResult]:
    areas = table.boxes[:, 3] * table.boxes[:, 4]
    for area, (low, high) in AREA_BOUNDS.items():
        boxes = int(((areas >= low) & (areas <= high)).sum())
        yield _result("size", area, curves, boxes, area=area)


def _between(values: Floats, edges: Iterable[float]) -> Iterator[tuple[str, Mask]]:
    """Yield the name and the members of each interval; it has its upper edge, not its lower one."""
    for low, high in itertools.pairwise(edges):
        name = f"> {low:g}" if math.isinf(high) else f"{low:g} – {high:g}"
        yield name, (values > low) & (values <= high)


def _result(
    quantity: str, name: str, curves: PrecisionRecall, boxes: int, *, area: str = "all"
) -> StratumResult:
    return StratumResult(
        quantity=quantity,
        name=name,
        ap=curves.ap(area=area),
        ap50=curves.ap(iou=0.5, area=area),
        ar=curves.ar(area=area),
        boxes=boxes,
    )
