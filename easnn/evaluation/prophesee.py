"""The Prophesee protocol: COCO metrics without small boxes and the start of recordings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from easnn.evaluation.coco import CocoEvaluator
from easnn.evaluation.strata import StrataRequest
from easnn.evaluation.table import Floats, FrameTable, Mask


class PropheseeEvaluator(CocoEvaluator):
    """COCO average precision and recall after the filters of Prophesee's automotive benchmarks.

    Ground truth and detections are scored if they are later than ``skip_us`` and their diagonal,
    width and height have at least the given lengths. Frames without remaining ground truth are
    excluded together with their detections. Detections are compared with the ground truth of their
    own frame. They have its time, so the protocol's tolerance of ±50 ms is always met.

    Args:
        class_names: names of the classes 0, 1, ….
        split: name of the evaluated split, for the result.
        min_diagonal_px: minimum diagonal of a box, in sensor pixels.
        min_side_px: minimum width and height of a box, in sensor pixels.
        skip_us: frames up to this time after the start of a recording are excluded.
        strata: what the results by strata need; None for no such results.
    """

    protocol = "prophesee"

    def __init__(
        self,
        class_names: Sequence[str],
        *,
        split: str,
        min_diagonal_px: float,
        min_side_px: float,
        skip_us: int = 500_000,
        strata: StrataRequest | None = None,
    ) -> None:
        super().__init__(class_names, split=split, strata=strata)
        self.min_diagonal_px = min_diagonal_px
        self.min_side_px = min_side_px
        self.skip_us = skip_us
        self.filters = (
            f"frames of the first {skip_us / 1e6:g} s of a recording",
            f"boxes and detections with a diagonal < {min_diagonal_px:g} px or a side < "
            f"{min_side_px:g} px",
            "frames without a box left, and their detections",
        )

    def filtered(self, table: FrameTable) -> FrameTable:
        """Return the frames, boxes and detections that pass the filters."""
        boxes, detections = self._is_large(table.boxes), self._is_large(table.detections)
        has_box = np.zeros(len(table.times_us), dtype=bool)
        has_box[table.box_frame[boxes]] = True
        return table.keep(has_box & (table.times_us > self.skip_us), boxes, detections)

    def _is_large(self, rows: Floats) -> Mask:
        width, height = rows[:, -2], rows[:, -1]
        diagonal = width**2 + height**2 >= self.min_diagonal_px**2
        return diagonal & (width >= self.min_side_px) & (height >= self.min_side_px)
