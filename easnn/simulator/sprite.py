"""Images of a moving object, and the classes of the synthetic dataset."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from easnn.simulator.sketch import Point

CLASS_NAMES = ("car", "pedestrian")
CAR, PEDESTRIAN = range(2)


@dataclass(frozen=True)
class Sprite:
    """Images of an object over one period of its motion (a stride, or one spoke of a wheel).

    Attributes:
        class_id: index into ``CLASS_NAMES``.
        sheet: float32 [P, h, w, 2]: intensity times opacity, and opacity, of P equidistant phases.
        px_per_m: resolution of the images.
        foot_px: the point (x, y) of the images that touches the ground.
        width_m: width of the object.
        period_m: distance travelled during one period.
    """

    class_id: int
    sheet: np.ndarray
    px_per_m: float
    foot_px: Point
    width_m: float
    period_m: float

    def image(self, travelled_m: float) -> np.ndarray:
        """Return the image [h, w, 2] after a distance, blended from the two nearest phases."""
        phases = len(self.sheet)
        phase, part = divmod(travelled_m / self.period_m * phases, 1.0)
        now, ahead = self.sheet[int(phase) % phases], self.sheet[int(phase + 1) % phases]
        return cv2.addWeighted(now, 1.0 - part, ahead, part, 0.0)

    def mirrored(self) -> Sprite:
        """Return the same object facing the opposite direction."""
        foot_px = (self.sheet.shape[2] - self.foot_px[0], self.foot_px[1])
        return replace(self, sheet=np.ascontiguousarray(self.sheet[:, :, ::-1]), foot_px=foot_px)
