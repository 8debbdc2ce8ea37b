"""Filters of labels: which boxes published work leaves out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from easnn.data.box_checks import clip_to_frame


@dataclass(frozen=True)
class LabelFilter:
    """Drops boxes that are too small or wrong, as RVT does (Gehrig and Scaramuzza, CVPR 2023).

    Attributes:
        min_diagonal_px: smallest diagonal of a box, in pixels of the sensor.
        min_side_px: smallest width and height of a box.
    """

    min_diagonal_px: float
    min_side_px: float

    def __call__(
        self, boxes: np.ndarray, sensor_hw: tuple[int, int], *, training: bool = True
    ) -> np.ndarray:
        """Clip boxes (BOX_DTYPE) to the frame and return those that are kept, in their order.

        Args:
            boxes: the boxes, of classes that are kept.
            sensor_hw: height and width of the sensor in pixels.
            training: whether to drop boxes wider than nine tenths of the sensor, too: in the
                training split they cross the frame without an object.
        """
        height_px, width_px = sensor_hw
        clipped = clip_to_frame(boxes, (height_px - 1, width_px - 1))
        width, height = clipped["w"], clipped["h"]
        kept = (width > 0) & (height > 0)
        kept &= width**2 + height**2 >= self.min_diagonal_px**2
        kept &= (width >= self.min_side_px) & (height >= self.min_side_px)
        if training:
            kept &= width <= 9 * width_px // 10
        return clipped[kept]


GEN1_FILTER = LabelFilter(min_diagonal_px=30, min_side_px=10)
GEN4_FILTER = LabelFilter(min_diagonal_px=0, min_side_px=5)
