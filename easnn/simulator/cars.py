"""Drawings of cars: four bodies seen from the side, and one seen from the front or rear."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np

from easnn.simulator.sketch import Point, Sketch, noise_texture
from easnn.simulator.sprite import CAR, Sprite

WHEEL_PHASES, SPOKES, WHEEL_RADIUS_M = 12, 5, 0.33
TEXTURE_CELL_M, TEXTURE_STRENGTH = 0.4, 0.08


class _Body(NamedTuple):
    """The right side of a car; points are relative to its length (rear to front) and height."""

    length_m: float
    height_m: float
    outline: tuple[Point, ...]
    windows: tuple[tuple[Point, ...], ...]
    axles: tuple[float, float]


BODIES = (
    _Body(  # saloon
        length_m=4.5,
        height_m=1.42,
        outline=(
            (0, 0.2), (0, 0.62), (0.16, 0.68), (0.29, 0.97), (0.38, 1),
            (0.55, 1), (0.62, 0.96), (0.76, 0.67), (0.98, 0.56), (1, 0.2),
        ),
        windows=(
            ((0.21, 0.69), (0.3, 0.92), (0.44, 0.94), (0.44, 0.69)),
            ((0.46, 0.69), (0.46, 0.94), (0.59, 0.92), (0.7, 0.69)),
        ),
        axles=(0.19, 0.81),
    ),
    _Body(  # hatchback
        length_m=3.9,
        height_m=1.48,
        outline=(
            (0, 0.2), (0, 0.62), (0.05, 0.92), (0.12, 1),
            (0.52, 1), (0.6, 0.96), (0.76, 0.66), (0.98, 0.55), (1, 0.2),
        ),
        windows=(
            ((0.08, 0.68), (0.13, 0.92), (0.36, 0.94), (0.36, 0.68)),
            ((0.38, 0.68), (0.38, 0.94), (0.57, 0.92), (0.7, 0.68)),
        ),
        axles=(0.18, 0.81),
    ),
    _Body(  # off-roader
        length_m=4.6,
        height_m=1.75,
        outline=(
            (0, 0.22), (0, 0.65), (0.03, 0.94), (0.08, 1),
            (0.55, 1), (0.62, 0.96), (0.73, 0.66), (0.98, 0.58), (1, 0.22),
        ),
        windows=(
            ((0.05, 0.66), (0.08, 0.92), (0.22, 0.93), (0.22, 0.66)),
            ((0.25, 0.66), (0.25, 0.93), (0.4, 0.93), (0.4, 0.66)),
            ((0.43, 0.66), (0.43, 0.93), (0.58, 0.92), (0.68, 0.66)),
        ),
        axles=(0.19, 0.8),
    ),
    _Body(  # van
        length_m=4.9,
        height_m=1.95,
        outline=(
            (0, 0.16), (0, 0.95), (0.03, 1),
            (0.68, 1), (0.76, 0.96), (0.88, 0.6), (0.98, 0.5), (1, 0.16),
        ),
        windows=(
            ((0.36, 0.6), (0.36, 0.9), (0.56, 0.9), (0.56, 0.6)),
            ((0.6, 0.6), (0.6, 0.91), (0.74, 0.91), (0.84, 0.6)),
        ),
        axles=(0.17, 0.82),
    ),
)  # fmt: skip


def draw_car_side(px_per_m: float, rng: np.random.Generator) -> Sprite:
    """Draw a random car that faces right."""
    body = BODIES[rng.integers(len(BODIES))]
    length, height = (
        body.length_m * rng.uniform(0.93, 1.07),
        body.height_m * rng.uniform(0.95, 1.06),
    )
    paint, glass = _paint(rng), rng.uniform(0.05, 0.2)

    def place(points: tuple[Point, ...]) -> list[Point]:
        return [((x - 0.5) * length, y * height) for x, y in points]

    sketch = Sketch(-length / 2, length / 2, height, px_per_m)
    sketch.ellipse((0, 0.04), (0.48 * length, 0.09), shade=0.05, opacity=0.4)
    sketch.rounded(place(body.outline), paint)
    sill = body.outline[0][1]
    sketch.polygon(
        place(((0.05, sill), (0.95, sill), (0.95, sill + 0.08), (0.05, sill + 0.08))), 0.5 * paint
    )
    for window in body.windows:
        sketch.polygon(place(window), glass)
        (left, low), *_, (right, _) = window
        sketch.line(
            place(((left, low - 0.02), (right, low - 0.02))), 0.03, min(1.3 * paint + 0.1, 1)
        )
        sketch.line(place(((right + 0.01, low), (right + 0.01, sill + 0.1))), 0.03, 0.55 * paint)
    sketch.ellipse(*_lamp(length, height, 0.965), shade=0.95)
    sketch.ellipse(*_lamp(length, height, 0.03), shade=0.3)

    texture = _texture(sketch, px_per_m, rng)
    axles = [((x - 0.5) * length, WHEEL_RADIUS_M) for x in body.axles]
    phases = [
        _with_wheels(sketch, axles, phase).image(texture)
        for phase in np.arange(WHEEL_PHASES) / WHEEL_PHASES
    ]
    period_m = 2 * np.pi * WHEEL_RADIUS_M / SPOKES
    return Sprite(CAR, np.stack(phases), px_per_m, sketch.origin_px, length, period_m)


def draw_car_end(px_per_m: float, rng: np.random.Generator) -> Sprite:
    """Draw a random car seen from its front or rear."""
    width, height = rng.uniform(1.65, 1.95), rng.uniform(1.4, 1.9)
    paint, glass = _paint(rng), rng.uniform(0.05, 0.25)
    half, front = width / 2, rng.random() < 0.5

    sketch = Sketch(-half, half, height, px_per_m)
    sketch.ellipse((0, 0.04), (half, 0.08), shade=0.05, opacity=0.4)
    for side in (-1, 1):
        sketch.polygon(
            [(side * x * half, y) for x, y in ((0.95, 0), (0.62, 0), (0.62, 0.5), (0.95, 0.5))],
            0.05,
        )
    outline = ((1, 0.16), (1, 0.5), (0.93, 0.62), (0.74, 0.96), (0.62, 1))
    window = ((0.82, 0.62), (0.66, 0.92))
    sketch.rounded(_symmetric(outline, half, height), paint)
    sketch.polygon(_symmetric(window, half, height), glass)
    sketch.polygon(_symmetric(((0.9, 0.16), (0.9, 0.26)), half, height), 0.4 * paint)
    if front:
        sketch.polygon(_symmetric(((0.45, 0.34), (0.45, 0.44)), half, height), 0.06)
    sketch.polygon(_symmetric(((0.28, 0.25), (0.28, 0.33)), half, height), 0.85)
    for side in (-1, 1):
        sketch.ellipse(
            (side * 0.76 * half, 0.47 * height),
            (0.15 * half, 0.05 * height),
            0.97 if front else 0.3,
        )
    image = sketch.image(_texture(sketch, px_per_m, rng))
    return Sprite(CAR, image[None], px_per_m, sketch.origin_px, width, period_m=1.0)


def _paint(rng: np.random.Generator) -> float:
    """Return the shade of a black, coloured or white car."""
    low, high = ((0.04, 0.12), (0.2, 0.5), (0.65, 0.9))[rng.integers(3)]
    return rng.uniform(low, high)


def _lamp(length_m: float, height_m: float, along: float) -> tuple[Point, Point]:
    """Return centre and radii of the lamp at a relative position along the length."""
    return ((along - 0.5) * length_m, 0.5 * height_m), (0.03 * length_m, 0.045 * height_m)


def _symmetric(right: tuple[Point, ...], half_m: float, height_m: float) -> list[Point]:
    """Mirror the right half of an outline, given relative to half the width and the height."""
    points = [(x * half_m, y * height_m) for x, y in right]
    return points + [(-x, y) for x, y in reversed(points)]


def _texture(sketch: Sketch, px_per_m: float, rng: np.random.Generator) -> np.ndarray:
    """Return a texture for the whole image, brighter towards the top."""
    width, height = sketch.size_px
    noise = noise_texture((height, width), TEXTURE_CELL_M * px_per_m, TEXTURE_STRENGTH, rng)
    return noise * np.linspace(1.15, 0.8, height, dtype=np.float32)[:, None]


def _with_wheels(sketch: Sketch, axles: list[Point], phase: float) -> Sketch:
    """Return a copy with wheels, turned by ``phase`` times the angle between two spokes."""
    sketch = copy.deepcopy(sketch)
    turn = -2 * np.pi * (np.arange(SPOKES) + phase) / SPOKES
    for x, y in axles:
        sketch.ellipse((x, y), (1.2 * WHEEL_RADIUS_M, 1.2 * WHEEL_RADIUS_M), 0.03)
        sketch.ellipse((x, y), (WHEEL_RADIUS_M, WHEEL_RADIUS_M), 0.08)
        for angle in turn:
            rim = 0.65 * WHEEL_RADIUS_M
            sketch.line([(x, y), (x + rim * np.cos(angle), y + rim * np.sin(angle))], 0.09, 0.6)
    return sketch
