"""The random placement of training samples in the network's input."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from easnn.data.augment import NO_BOXES
from easnn.ops import Placement, Rectangle, Warp, letterbox_placement

WHOLE = (0.0, 1.0)
MAX_LOG_ASPECT = math.log(10 / 3)


@dataclass(frozen=True)
class Zoom:
    """Zooming of whole samples, in around an object or out (RVT, Gehrig and Scaramuzza 2023).

    The factor is relative to the letterbox: at 1 the frame fills the input along one axis.

    Attributes:
        prob: share of the samples that are zoomed, 0 to 1.
        in_share: share of these that are zoomed in; the others are zoomed out.
        in_range: smallest and largest factor by which the frame is enlarged, at least 1.
        out_range: smallest and largest factor by which it is made smaller, at least 1.
    """

    prob: float = 0.0
    in_share: float = 0.8
    in_range: tuple[float, float] = (1.0, 1.5)
    out_range: tuple[float, float] = (1.0, 1.2)


@dataclass(frozen=True)
class Distortion:
    """Random rotation and shear of training samples, about the centre of what the input shows.

    Attributes:
        rotation_deg: largest angle of the rotation, in both directions; 0 for none.
        rotation_prob: share of the samples that are rotated, 0 to 1.
        shear_deg: largest angle of the shear, in both directions, below 90; 0 for none.
        shear_prob: share of the samples that are sheared, 0 to 1.
    """

    rotation_deg: float = 0.0
    rotation_prob: float = 0.6
    shear_deg: float = 0.0
    shear_prob: float = 0.6

    def draw(
        self, placement: Placement, out_hw: tuple[int, int], rng: np.random.Generator
    ) -> Warp | None:
        """Return the warp of a sample that is placed like this; None if no sample has any.

        If some samples have one, the others get one of 0°, so that how a sample is computed does
        not depend on the other samples of its batch.
        """
        if self.rotation_deg == 0 and self.shear_deg == 0:
            return None
        rotation_deg, shear_deg = (
            float(rng.uniform(-most, most)) if rng.random() < prob else 0.0
            for most, prob in (
                (self.rotation_deg, self.rotation_prob),
                (self.shear_deg, self.shear_prob),
            )
        )
        centre_y, centre_x = (
            (max(start, 0) + min(start + side, out)) / 2
            for start, side, out in (
                (placement.top_px, placement.height_px, out_hw[0]),
                (placement.left_px, placement.width_px, out_hw[1]),
            )
        )
        return Warp((centre_x, centre_y), rotation_deg, shear_deg)


@dataclass(frozen=True)
class Erasing:
    """Random erasing of a rectangle of the input (Zhong et al., AAAI 2020).

    Its share of the area of the input is uniform, the logarithm of its aspect ratio is uniform in
    ±log(10/3), and all positions inside the input are equally likely.

    Attributes:
        prob: share of the samples of which a part is erased, 0 to 1.
        area_range: smallest and largest share of the area, above 0 and at most 1.
    """

    prob: float = 0.0
    area_range: tuple[float, float] = (0.02, 0.4)

    def draw(self, out_hw: tuple[int, int], rng: np.random.Generator) -> Rectangle | None:
        """Return what is erased of a sample, if anything is."""
        if rng.random() >= self.prob:
            return None
        area_px = rng.uniform(*self.area_range) * out_hw[0] * out_hw[1]
        aspect = math.exp(rng.uniform(-MAX_LOG_ASPECT, MAX_LOG_ASPECT))
        height_px, width_px = (
            min(max(1, round(side)), out)
            for side, out in zip(
                (math.sqrt(area_px * aspect), math.sqrt(area_px / aspect)), out_hw, strict=True
            )
        )
        return Rectangle(
            top_px=_random_offset(out_hw[0] - height_px, rng),
            left_px=_random_offset(out_hw[1] - width_px, rng),
            height_px=height_px,
            width_px=width_px,
        )


@dataclass(frozen=True)
class RandomPlacementPolicy:
    """Random aspect ratio, scale, position and mirroring: the published training augmentation.

    The aspect ratio (width to height) is that of the sensor, multiplied by U(1−j, 1+j) / U(1−j,
    1+j). The longer side is the input's side in that direction, multiplied by U(scale_range). The
    other side follows from the aspect ratio, so it may exceed the input. Along each axis, all
    positions with the image inside the input, or the input inside a larger image, are equally
    likely.

    A sample that is zoomed has the aspect ratio and the size of the letterbox times the factor of
    the zoom instead. Zoomed in, it shows one of its boxes, all of which are equally likely: only
    positions with the box inside the input, or the input inside a larger box, are drawn.

    Attributes:
        out_hw: height and width of the network's input in pixels.
        jitter: j, at least 0 and below 1.
        scale_range: smallest and largest scale.
        flip_prob: probability of mirroring left to right.
        zoom: which samples are zoomed, and how far.
        distortion: which samples are rotated or sheared, and how far.
        erasing: of which samples a part is erased, and how much.
    """

    out_hw: tuple[int, int]
    jitter: float
    scale_range: tuple[float, float] = (0.4, 1.0)
    flip_prob: float = 0.5
    zoom: Zoom = Zoom()
    distortion: Distortion = Distortion()
    erasing: Erasing = Erasing()

    def __call__(
        self, in_hw: tuple[int, int], rng: np.random.Generator, boxes_xywh: np.ndarray = NO_BOXES
    ) -> Placement:
        """Return a placement drawn from ``rng``.

        Args:
            in_hw: height and width of the sensor.
            rng: the sample's own random numbers.
            boxes_xywh: ``[N,4]``, the boxes of the sample in sensor pixels.
        """
        placement = self._place(in_hw, rng)
        if rng.random() < self.zoom.prob:
            placement = self._zoom(in_hw, placement.flip, rng, boxes_xywh)
        return replace(
            placement,
            warp=self.distortion.draw(placement, self.out_hw, rng),
            erased=self.erasing.draw(self.out_hw, rng),
        )

    def _place(self, in_hw: tuple[int, int], rng: np.random.Generator) -> Placement:
        (in_height, in_width), (out_height, out_width) = in_hw, self.out_hw
        stretch, squeeze = rng.uniform(1 - self.jitter, 1 + self.jitter, size=2)
        aspect = in_width / in_height * stretch / squeeze
        scale = rng.uniform(*self.scale_range)
        if aspect < 1:
            height, width = scale * out_height, scale * out_height * aspect
        else:
            height, width = scale * out_width / aspect, scale * out_width
        height_px, width_px = max(1, int(height)), max(1, int(width))
        return Placement(
            height_px=height_px,
            width_px=width_px,
            top_px=_random_offset(out_height - height_px, rng),
            left_px=_random_offset(out_width - width_px, rng),
            flip=bool(rng.random() < self.flip_prob),
        )

    def _zoom(
        self,
        in_hw: tuple[int, int],
        flip: bool,
        rng: np.random.Generator,
        boxes_xywh: np.ndarray,
    ) -> Placement:
        inwards = rng.random() < self.zoom.in_share
        factor = rng.uniform(*(self.zoom.in_range if inwards else self.zoom.out_range))
        full = letterbox_placement(in_hw, self.out_hw)
        scale = factor if inwards else 1 / factor
        height_px, width_px = (
            max(1, int(side_px * scale)) for side_px in (full.height_px, full.width_px)
        )
        if inwards and len(boxes_xywh):
            vertical, horizontal = _extent(boxes_xywh[rng.integers(len(boxes_xywh))], in_hw, flip)
        else:
            vertical = horizontal = WHOLE
        return Placement(
            height_px=height_px,
            width_px=width_px,
            top_px=_offset_showing(self.out_hw[0], height_px, vertical, rng),
            left_px=_offset_showing(self.out_hw[1], width_px, horizontal, rng),
            flip=flip,
        )


def _random_offset(free_px: int, rng: np.random.Generator) -> int:
    """Return an offset between 0 and ``free_px``, both included; ``free_px`` may be negative."""
    return int(rng.integers(min(free_px, 0), max(free_px, 0), endpoint=True))


def _offset_showing(
    out_px: int, side_px: int, extent: tuple[float, float], rng: np.random.Generator
) -> int:
    """Return a random offset of an image that shows a part of it, as far as this fits.

    Args:
        out_px: side of the input.
        side_px: side of the image.
        extent: where the part begins and ends, as shares of the side of the image.
        rng: the sample's own random numbers.
    """
    free_px = out_px - side_px
    if free_px >= 0:
        return _random_offset(free_px, rng)
    start_px, end_px = (share * side_px for share in extent)
    from_start = min(max(math.ceil(-start_px), free_px), 0)
    to_end = min(max(math.floor(out_px - end_px), free_px), 0)
    low, high = min(from_start, to_end), max(from_start, to_end)
    return int(rng.integers(low, high, endpoint=True))


def _extent(
    box_xywh: np.ndarray, in_hw: tuple[int, int], flip: bool
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return where a box begins and ends along y and x, as shares of the image's sides, 0 to 1."""
    (x, y, w, h), (height, width) = box_xywh.tolist(), in_hw
    top, bottom, left, right = (
        min(max(share, 0.0), 1.0)
        for share in (y / height, (y + h) / height, x / width, (x + w) / width)
    )
    return (top, bottom), (1 - right, 1 - left) if flip else (left, right)
