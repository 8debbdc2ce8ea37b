"""The result of an evaluation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

PRECISION = {
    "AP": "ap",
    "AP50": "ap50",
    "AP75": "ap75",
    "AP small": "ap_small",
    "AP medium": "ap_medium",
    "AP large": "ap_large",
}
RECALL = {
    "AR1": "ar1",
    "AR10": "ar10",
    "AR100": "ar100",
    "AR small": "ar_small",
    "AR medium": "ar_medium",
    "AR large": "ar_large",
}


@dataclass(frozen=True)
class Counts:
    """The numbers of labelled frames, ground-truth boxes and detections."""

    frames: int
    boxes: int
    detections: int


@dataclass(frozen=True)
class ClassResult:
    """The metrics of one class; NaN if it has no ground truth.

    Attributes:
        name: name of the class.
        ap: average precision over the IoU thresholds 0.50:0.95.
        ap50: average precision at IoU 0.50.
        ar: average recall over the IoU thresholds, with at most 100 detections per frame.
        boxes: number of ground-truth boxes that were scored.
        detections: number of detections that were scored.
    """

    name: str
    ap: float
    ap50: float
    ar: float
    boxes: int
    detections: int


@dataclass(frozen=True)
class StratumResult:
    """The metrics of a stratum, averaged over the classes with ground truth in it; NaN without any.

    Attributes:
        quantity: what the ground truth was divided by, with its unit.
        name: which values belong to the stratum; of an interval, the upper end does.
        ap: average precision over the IoU thresholds 0.50:0.95.
        ap50: average precision at IoU 0.50.
        ar: average recall over the IoU thresholds, with at most 100 detections per frame.
        boxes: number of ground-truth boxes in the stratum.
    """

    quantity: str
    name: str
    ap: float
    ap50: float
    ar: float
    boxes: int


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """The metrics of an evaluation, with the protocol, the split and the counts.

    All metrics are between 0 and 1, averaged over the classes that have ground truth. A metric is
    NaN without ground truth (of its box size), and 0 without detections.

    Attributes:
        protocol: ``coco`` or ``prophesee``.
        split: the evaluated split of the dataset.
        filters: descriptions of what the protocol excludes.
        given: counts before the filters.
        counts: counts after the filters.
        ap: average precision over the IoU thresholds 0.50, 0.55, …, 0.95.
        ap50: average precision at IoU 0.50.
        ap75: average precision at IoU 0.75.
        ap_small: ``ap`` of boxes of up to 32² px.
        ap_medium: ``ap`` of boxes between 32² and 96² px.
        ap_large: ``ap`` of boxes from 96² px.
        ar1: average recall over the IoU thresholds, with 1 detection per frame and class.
        ar10: average recall with 10 detections.
        ar100: average recall with 100 detections.
        ar_small: ``ar100`` of boxes of up to 32² px.
        ar_medium: ``ar100`` of boxes between 32² and 96² px.
        ar_large: ``ar100`` of boxes from 96² px.
        per_class: one result per class, in the order of the dataset's classes.
        invalid_detections: detections that hit nothing and are not in ``given``: a number of them
            is not finite, their size is negative, or their class is unknown.
        timing: milliseconds per frame of each part of the evaluation, if measured.
        beside: the results of other protocols on the same detections.
        strata: the results of strata, if they were asked for, else None.
    """

    protocol: str
    split: str
    filters: tuple[str, ...]
    given: Counts
    counts: Counts
    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    per_class: tuple[ClassResult, ...]
    invalid_detections: int = 0
    timing: Mapping[str, float] | None = None
    beside: tuple[EvaluationResult, ...] = ()
    strata: tuple[StratumResult, ...] | None = None

    def table(self) -> str:
        """Return the result as text: protocol, split and counts, then metrics, then classes.

        The results in ``beside`` are shown in additional columns.
        """
        results = (self, *self.beside)
        about = [
            ("protocol", *(r.protocol for r in results)),
            ("split", *(r.split for r in results)),
            ("frames", *(_of(r.counts.frames, r.given.frames) for r in results)),
            ("boxes", *(_of(r.counts.boxes, r.given.boxes) for r in results)),
            ("detections", *(_of(r.counts.detections, r.given.detections) for r in results)),
            ("left out", *("\n".join(r.filters) or "nothing" for r in results)),
        ]
        if self.invalid_detections:
            about.append(("invalid", *(f"{r.invalid_detections} detections" for r in results)))
        if self.timing:
            parts = (f"{name} {milliseconds:.2f}" for name, milliseconds in self.timing.items())
            about.append(("ms per frame", ", ".join(parts)))
        notes = [
            f"The {r.protocol} protocol leaves no box to score, so every metric is undefined (–) "
            "and cannot select a best checkpoint."
            for r in results
            if not r.counts.boxes
        ]
        if self.invalid_detections:
            notes.append(
                "Invalid detections were left out: a number of them is not finite, their size is "
                "negative, or their class is unknown. Check the detector."
            )
        return "\n\n".join(
            (
                tabulate(about, tablefmt="plain"),
                *notes,
                tabulate(_measure_rows(results), tablefmt="plain", disable_numparse=True),
                *(
                    r.class_table(f"{r.protocol}: class" if self.beside else "class")
                    for r in results
                ),
                *(
                    table
                    for r in results
                    for table in r.strata_tables(f"{r.protocol}: " if self.beside else "")
                ),
            )
        )

    def class_table(self, title: str) -> str:
        """Return the metrics of each class as a table; ``title`` heads the column of classes."""
        rows = [
            (c.name, _shown(c.ap), _shown(c.ap50), _shown(c.ar), c.boxes, c.detections)
            for c in self.per_class
        ]
        headers = (title, "AP", "AP50", "AR100", "boxes", "detections")
        return tabulate(rows, headers=headers, disable_numparse=True)

    def strata_tables(self, before: str = "") -> list[str]:
        """Return a table of the strata of each quantity; ``before`` begins the title of each."""
        strata = self.strata or ()
        tables = [
            tabulate(
                [
                    (s.name, _shown(s.ap), _shown(s.ap50), _shown(s.ar), s.boxes)
                    for s in strata
                    if s.quantity == quantity
                ],
                headers=(f"{before}{quantity}", "AP", "AP50", "AR100", "boxes"),
                disable_numparse=True,
            )
            for quantity in dict.fromkeys(s.quantity for s in strata)
        ]
        quantities = {s.quantity for s in strata}
        if self.strata is not None and not quantities & {"silence (s)", "speed (px/s)"}:
            measured = "silence by events (s)" in quantities
            tables.append(
                "The labels do not say how objects move (`still_s`, `speed` and `visible` in "
                "_bbox.npy), so "
                + (
                    "silence is measured from events, and there are no strata of speed and "
                    "visibility."
                    if measured
                    else "there are no strata of silence, speed and visibility."
                )
            )
        return tables

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values for JSON, with None instead of NaN.

        There is an entry ``strata`` only if they were asked for.
        """
        entries = _plain(dataclasses.asdict(self))
        for result in (entries, *entries["beside"]):
            if result["strata"] is None:
                del result["strata"]
        return entries


def _measure_rows(results: Sequence[EvaluationResult]) -> list[tuple[str, ...]]:
    """Return precision next to recall, or above it if there are several results."""
    precision, recall = (
        [(name, *(_shown(getattr(r, field)) for r in results)) for name, field in measures.items()]
        for measures in (PRECISION, RECALL)
    )
    if len(results) > 1:
        return [("", *(r.protocol for r in results)), *precision, *recall]
    return [left + right for left, right in zip(precision, recall, strict=True)]


def _of(counted: int, given: int) -> str:
    return f"{counted}" if counted == given else f"{counted} of {given}"


def _shown(number: float) -> str:
    return "–" if math.isnan(number) else f"{number:.4f}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
