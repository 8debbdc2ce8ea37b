"""Which labels RVT's preprocessing keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from easnn.data.automotive import GEN1, GEN4, AutomotiveKind


@dataclass(frozen=True)
class RvtRules:
    """How a dataset is preprocessed for RVT.

    Attributes:
        kind: which dataset it is.
        min_diagonal_px: least diagonal of a box.
        min_side_px: least width and height of a box.
        label_period_us: time between two labelled frames, None for about 100 ms, a multiple of the median
            time between two labels.
        halved: whether the histograms get half the resolution.
    """

    kind: AutomotiveKind
    min_diagonal_px: float
    min_side_px: float
    label_period_us: int | None
    halved: bool


RULES = {
    rules.kind.name: rules
    for rules in (
        RvtRules(GEN1, min_diagonal_px=30, min_side_px=10, label_period_us=250_000, halved=False),
        RvtRules(GEN4, min_diagonal_px=0, min_side_px=5, label_period_us=None, halved=True),
    )
}
"""By the name of the dataset."""


def filter_labels(
    boxes: np.ndarray, sensor_hw: tuple[int, int], rules: RvtRules, *, training: bool
) -> np.ndarray:
    """Crop boxes (BOX_DTYPE) to the frame and drop those without a size, too small ones, and faulty ones.

    Args:
        boxes: the boxes, of classes that are kept.
        sensor_hw: height and width of the sensor in pixels.
        rules: those of the dataset.
        training: whether boxes wider than nine tenths of the sensor go, too: in the training split they
            cross the frame without an object.
    """
    cropped = boxes.copy()
    for start, length, side in (("x", "w", sensor_hw[1]), ("y", "h", sensor_hw[0])):
        cropped[start] = boxes[start].clip(0, side - 1)
        cropped[length] = (boxes[start] + boxes[length]).clip(0, side - 1) - cropped[start]
    width, height = cropped["w"], cropped["h"]
    kept = (width > 0) & (height > 0)
    kept &= width**2 + height**2 >= rules.min_diagonal_px**2
    kept &= (width >= rules.min_side_px) & (height >= rules.min_side_px)
    if training:
        kept &= width <= 9 * sensor_hw[1] // 10
    return cropped[kept]
