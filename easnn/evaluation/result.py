"""The one result object of an evaluation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate


@dataclass(frozen=True)
class Counts:
    """How much there is: labelled frames, ground truth boxes and detections."""

    frames: int
    boxes: int
    detections: int


@dataclass(frozen=True)
class ClassResult:
    """The result of one class; NaN where it has no ground truth.

    Attributes:
        name: name of the class.
        ap: average precision over the IoU thresholds 0.50:0.95.
        ap50: average precision at IoU 0.50.
        ar: average recall over the IoU thresholds, with at most 100 detections per frame.
        boxes: ground truth boxes that were scored.
        detections: detections that were scored.
    """

    name: str
    ap: float
    ap50: float
    ar: float
    boxes: int
    detections: int


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """The numbers of an evaluation, and what they are the numbers of.

    All measures are between 0 and 1, averaged over the classes that have ground truth; a measure without any
    ground truth (of its size) is NaN. Without detections they are 0.

    Attributes:
        protocol: ``coco`` or ``prophesee``.
        split: the split of the dataset that was evaluated.
        filters: what the protocol leaves out, one phrase each.
        given: what was there before the filters.
        counts: what was scored.
        ap: average precision over the IoU thresholds 0.50, 0.55, …, 0.95.
        ap50: average precision at IoU 0.50.
        ap75: average precision at IoU 0.75.
        ap_small: ``ap`` of boxes of up to 32² px.
        ap_medium: ``ap`` of boxes between 32² and 96² px.
        ap_large: ``ap`` of boxes from 96² px.
        ar1: average recall over the IoU thresholds, with the best detection of each class in a frame.
        ar10: average recall with the best 10.
        ar100: average recall with the best 100.
        ar_small: ``ar100`` of boxes of up to 32² px.
        ar_medium: ``ar100`` of boxes between 32² and 96² px.
        ar_large: ``ar100`` of boxes from 96² px.
        per_class: one result per class, in the order of the dataset's classes.
        timing: milliseconds per frame of each named part of the evaluation, if they were measured.
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
    timing: Mapping[str, float] | None = None

    def table(self) -> str:
        """Return the result for people: what was evaluated, then the measures, then the classes."""
        about = [
            ("protocol", self.protocol),
            ("split", self.split),
            ("frames", _of(self.counts.frames, self.given.frames)),
            ("boxes", _of(self.counts.boxes, self.given.boxes)),
            ("detections", _of(self.counts.detections, self.given.detections)),
            ("left out", "\n".join(self.filters) or "nothing"),
        ]
        if self.timing:
            parts = (f"{name} {milliseconds:.2f}" for name, milliseconds in self.timing.items())
            about.append(("ms per frame", ", ".join(parts)))
        precision = {
            "AP": self.ap,
            "AP50": self.ap50,
            "AP75": self.ap75,
            "AP small": self.ap_small,
            "AP medium": self.ap_medium,
            "AP large": self.ap_large,
        }
        recall = {
            "AR1": self.ar1,
            "AR10": self.ar10,
            "AR100": self.ar100,
            "AR small": self.ar_small,
            "AR medium": self.ar_medium,
            "AR large": self.ar_large,
        }
        measures = [
            (name, _shown(value), other_name, _shown(other))
            for (name, value), (other_name, other) in zip(precision.items(), recall.items(), strict=True)
        ]
        classes = [
            (c.name, _shown(c.ap), _shown(c.ap50), _shown(c.ar), c.boxes, c.detections)
            for c in self.per_class
        ]
        return "\n\n".join(
            (
                tabulate(about, tablefmt="plain"),
                tabulate(measures, tablefmt="plain", disable_numparse=True),
                tabulate(
                    classes,
                    headers=("class", "AP", "AP50", "AR100", "boxes", "detections"),
                    disable_numparse=True,
                ),
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: numbers, texts, lists and dictionaries; None in place of NaN."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain


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
