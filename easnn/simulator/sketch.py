"""Drawing in metric coordinates, and surface textures."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

Point = tuple[float, float]

OVERSAMPLING = 4
MARGIN_M = 0.15  # transparent border, so that interpolation never reaches the edge of an image
FRACTION_BITS = 4  # of OpenCV's fixed-point coordinates


class Sketch:
    """A drawing in metres (x to the right, y up from the ground) on a transparent background.

    Args:
        left_m: left edge of the drawing.
        right_m: right edge.
        height_m: upper edge; the lower one is the ground.
        px_per_m: resolution of the rendered image.
    """

    def __init__(self, left_m: float, right_m: float, height_m: float, px_per_m: float) -> None:
        self.size_px = (
            int(np.ceil((right_m - left_m + 2 * MARGIN_M) * px_per_m)),
            int(np.ceil((height_m + 2 * MARGIN_M) * px_per_m)),
        )
        self._px_per_m = px_per_m
        self._left_m = left_m - MARGIN_M
        self._top_m = self.size_px[1] / px_per_m - MARGIN_M
        width, height = self.size_px
        self._image = np.zeros((height * OVERSAMPLING, width * OVERSAMPLING, 2), np.float32)

    @property
    def origin_px(self) -> Point:
        """Position of the point (0, 0) in the rendered image."""
        return -self._left_m * self._px_per_m, self._top_m * self._px_per_m

    def polygon(self, points: Sequence[Point], shade: float, opacity: float = 1.0) -> None:
        """Fill a polygon."""
        cv2.fillPoly(
            self._image, [self._fixed(points)], (shade * opacity, opacity), shift=FRACTION_BITS
        )

    def rounded(self, points: Sequence[Point], shade: float) -> None:
        """Fill a polygon with rounded corners: they are cut off twice."""
        corners = np.asarray(points)
        for _ in range(2):
            ahead = np.roll(corners, -1, axis=0)
            cuts = np.stack([0.8 * corners + 0.2 * ahead, 0.2 * corners + 0.8 * ahead], axis=1)
            corners = cuts.reshape(-1, 2)
        self.polygon([(x, y) for x, y in corners], shade)

    def ellipse(self, centre: Point, radii: Point, shade: float, opacity: float = 1.0) -> None:
        """Fill an axis-aligned ellipse."""
        turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        x, y = centre[0] + radii[0] * np.cos(turn), centre[1] + radii[1] * np.sin(turn)
        self.polygon(list(zip(x, y, strict=True)), shade, opacity)

    def line(self, points: Sequence[Point], width_m: float, shade: float) -> None:
        """Draw a polyline with round ends and joints."""
        thickness = max(1, round(width_m * self._px_per_m * OVERSAMPLING))
        cv2.polylines(
            self._image, [self._fixed(points)], False, (shade, 1.0), thickness, shift=FRACTION_BITS
        )

    def image(self, texture: np.ndarray) -> np.ndarray:
        """Render the image, float32 [h, w, 2]: intensity times opacity, and opacity.

        Args:
            texture: factor of the intensity, [h, w] or larger.
        """
        image = cv2.resize(self._image, self.size_px, interpolation=cv2.INTER_AREA)
        image[..., 0] *= texture[: image.shape[0], : image.shape[1]]
        return image

    def _fixed(self, points: Sequence[Point]) -> np.ndarray:
        metres = (np.asarray(points) - (self._left_m, self._top_m)) * (1, -1)
        fine_px = metres * self._px_per_m * OVERSAMPLING - 0.5  # origin: centre of a pixel
        return np.round(fine_px * 2**FRACTION_BITS).astype(np.int32)


def noise_texture(
    size_hw: tuple[int, int], cell_px: float, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Return smooth noise around 1, float32 [H, W].

    Args:
        size_hw: height and width in pixels.
        cell_px: distance of independent values; for half of the noise it is a third of that.
        strength: standard deviation.
        rng: source of the noise.
    """
    height, width = size_hw
    texture = np.ones(size_hw, np.float32)
    for cell in (cell_px, cell_px / 3):
        coarse = rng.normal(0, strength, (int(height / cell) + 3, int(width / cell) + 3)).astype(
            np.float32
        )
        texture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32(
            0.7
        )
    return np.maximum(texture, np.float32(0.1))
