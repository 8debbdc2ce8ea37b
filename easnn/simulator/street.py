"""The background: sky, house fronts with windows, trees, lamp posts, pavement and road."""

from __future__ import annotations

import cv2
import numpy as np

from easnn.simulator.sketch import noise_texture

OPTICS_PX = 0.7  # blur of the lens in pixels; without it, moving fine texture would flicker
TREES, POSTS = 0.8, 0.8  # mean number on a street as wide as the sensor is high
LEAVES = 40  # circles that form the crown of a tree


def draw_street(
    size_hw: tuple[int, int], horizon_px: float, unit_px: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw a random street.

    Args:
        size_hw: height and width of the image.
        horizon_px: row of the horizon.
        unit_px: height of the sensor; all sizes are relative to it.
        rng: source of the random appearance.

    Returns:
        Intensity, float32 [H, W], from 0 to about 1.
    """
    kerb = round(horizon_px + 0.05 * unit_px)
    image = rng.uniform(0.6, 0.95) * noise_texture(size_hw, 0.5 * unit_px, 0.03, rng)
    _draw_houses(image[:kerb], unit_px, rng)
    _draw_ground(image[kerb:], unit_px, rng)
    _draw_trees(image, kerb, unit_px, rng)
    _draw_posts(image, kerb, unit_px, rng)
    return cv2.GaussianBlur(image, (0, 0), OPTICS_PX)


def _draw_houses(image: np.ndarray, unit_px: float, rng: np.random.Generator) -> None:
    height, width = image.shape
    left = 0
    while left < width:
        house = round(rng.uniform(0.25, 0.7) * unit_px)
        if rng.random() < 0.8:
            top = round(rng.uniform(0.0, 0.7) * height)
            front = image[top:, left : left + house]
            shade = rng.uniform(0.2, 0.75)
            front[:] = shade * noise_texture(front.shape, 0.04 * unit_px, 0.07, rng)
            _draw_windows(front, shade * rng.uniform(0.45, 0.9), unit_px, rng)
        left += house


def _draw_windows(
    front: np.ndarray, shade: float, unit_px: float, rng: np.random.Generator
) -> None:
    step_y, step_x = (round(rng.uniform(0.11, 0.17) * unit_px) for _ in range(2))
    size_y, size_x = round(0.55 * step_y), round(rng.uniform(0.35, 0.6) * step_x)
    for top in range(step_y // 3, front.shape[0] - size_y, step_y):
        for left in range(step_x // 3, front.shape[1] - size_x, step_x):
            front[top : top + size_y, left : left + size_x] = shade


def _draw_ground(image: np.ndarray, unit_px: float, rng: np.random.Generator) -> None:
    height, width = image.shape
    image[:] = rng.uniform(0.25, 0.5) * noise_texture(image.shape, 0.03 * unit_px, 0.07, rng)
    image[: round(0.08 * unit_px)] *= rng.uniform(1.1, 1.35)  # the far pavement
    if rng.random() < 0.7:
        dash, thickness = round(rng.uniform(0.15, 0.4) * unit_px), max(1, round(0.012 * unit_px))
        row = round(rng.uniform(0.3, 0.7) * height)
        for left in range(rng.integers(dash), width, 2 * dash):
            image[row : row + thickness, left : left + dash] *= 1.7


def _draw_trees(image: np.ndarray, kerb: int, unit_px: float, rng: np.random.Generator) -> None:
    width = image.shape[1]
    for _ in range(rng.poisson(TREES * width / unit_px)):
        x, radius = rng.uniform(0, width), rng.uniform(0.06, 0.16) * unit_px
        crown_y = kerb - rng.uniform(0.15, 0.3) * unit_px
        cv2.line(
            image,
            _pixel(x, kerb + 0.02 * unit_px),
            _pixel(x, crown_y),
            0.15,
            _thickness(0.25 * radius),
        )
        for _ in range(LEAVES):
            leaf = _pixel(*rng.normal((x, crown_y), 0.5 * radius))
            cv2.circle(
                image,
                leaf,
                round(rng.uniform(0.12, 0.4) * radius),
                rng.uniform(0.08, 0.35),
                cv2.FILLED,
            )


def _draw_posts(image: np.ndarray, kerb: int, unit_px: float, rng: np.random.Generator) -> None:
    width = image.shape[1]
    for _ in range(rng.poisson(POSTS * width / unit_px)):
        x, top = rng.uniform(0, width), kerb - rng.uniform(0.25, 0.5) * unit_px
        shade, thickness = rng.uniform(0.08, 0.8), _thickness(rng.uniform(0.008, 0.02) * unit_px)
        cv2.line(image, _pixel(x, kerb + 0.03 * unit_px), _pixel(x, top), shade, thickness)


def _pixel(x: float, y: float) -> tuple[int, int]:
    return round(x), round(y)


def _thickness(thickness_px: float) -> int:
    return max(1, round(thickness_px))
