"""The COCO protocol on all labelled frames and all boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from easnn.evaluation.average_precision import precision_recall
from easnn.evaluation.frame import FrameResult
from easnn.evaluation.result import ClassResult, EvaluationResult
from easnn.evaluation.strata import StrataRequest, results_by_strata
from easnn.evaluation.table import FrameTable


class CocoEvaluator:
    """COCO average precision and recall over all labelled frames; nothing is filtered.

    Args:
        class_names: names of the classes 0, 1, ….
        split: name of the evaluated split, for the result.
        strata: what the results by strata need; None for no such results.
    """

    protocol = "coco"
    filters: tuple[str, ...] = ()

    def __init__(
        self, class_names: Sequence[str], *, split: str, strata: StrataRequest | None = None
    ) -> None:
        self.class_names = tuple(class_names)
        self.split = split
        self.strata = strata
        self.reset()

    def reset(self) -> None:
        """Remove all frames."""
        self._frames: list[FrameResult] = []

    def process(self, frames: Iterable[FrameResult]) -> None:
        """Add frames, in any order and any number of calls."""
        self._frames.extend(frames)

    def evaluate(self) -> EvaluationResult:
        """Score all frames added since the last reset.

        Raises:
            DataError: if a frame was added twice, rows do not have the right form, or a box of the
                ground truth is not finite, has a negative size or an unknown class.
        """
        num_classes = len(self.class_names)
        given = FrameTable.of(self._frames, self.class_names)
        table = self.filtered(given)
        curves = precision_recall(table, num_classes)
        return EvaluationResult(
            protocol=self.protocol,
            split=self.split,
            filters=self.filters,
            given=given.counts,
            counts=table.counts,
            invalid_detections=given.invalid_detections,
            ap=curves.ap(),
            ap50=curves.ap(iou=0.5),
            ap75=curves.ap(iou=0.75),
            ap_small=curves.ap(area="small"),
            ap_medium=curves.ap(area="medium"),
            ap_large=curves.ap(area="large"),
            ar1=curves.ar(limit=1),
            ar10=curves.ar(limit=10),
            ar100=curves.ar(),
            ar_small=curves.ar(area="small"),
            ar_medium=curves.ar(area="medium"),
            ar_large=curves.ar(area="large"),
            per_class=tuple(
                ClassResult(
                    name=name,
                    ap=curves.ap(label=label),
                    ap50=curves.ap(iou=0.5, label=label),
                    ar=curves.ar(label=label),
                    boxes=int((table.boxes[:, 0] == label).sum()),
                    detections=int((table.detections[:, 0] == label).sum()),
                )
                for label, name in enumerate(self.class_names)
            ),
            strata=(
                None
                if self.strata is None
                else results_by_strata(table, num_classes, curves, self.strata)
            ),
        )

    def filtered(self, table: FrameTable) -> FrameTable:
        """Return the frames, boxes and detections that the protocol scores: all of them."""
        return table
