"""Drawings of walking pedestrians, seen from the side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from easnn.simulator.sketch import Point, Sketch, noise_texture
from easnn.simulator.sprite import PEDESTRIAN, Sprite

STRIDE_PHASES = 32
HEIGHT_M, REACH_M = 1.76, 0.6  # height, and half the width including the longest step
THIGH_M, SHIN_M, ANKLE_M = 0.44, 0.43, 0.06
UPPER_ARM_M, FOREARM_M = 0.28, 0.26
LARGEST_HIP_ANGLE = 0.48
TEXTURE_CELL_M, TEXTURE_STRENGTH = 0.2, 0.07


@dataclass(frozen=True)
class _Clothes:
    """Clothes of a person and the shades of gray of all parts."""

    skin: float
    hair: float
    top: float
    trousers: float
    shoes: float
    waist_m: float  # lower end of the top; that of a coat is below the hip
    bag: bool


def draw_pedestrian(px_per_m: float, swing: float, rng: np.random.Generator) -> Sprite:
    """Draw a random pedestrian who walks to the right.

    Args:
        px_per_m: resolution of the images.
        swing: length of the steps: 1 is a fast walk, near 0 is almost standing.
        rng: source of the random appearance.
    """
    size = rng.uniform(0.88, 1.1)
    clothes = _Clothes(
        skin=rng.uniform(0.3, 0.75),
        hair=rng.uniform(0.04, 0.4),
        top=_cloth(rng),
        trousers=_cloth(rng),
        shoes=rng.uniform(0.05, 0.7),
        waist_m=rng.choice([0.92, 0.88, 0.62]),
        bag=rng.random() < 0.3,
    )
    phases = 2 * np.pi * np.arange(STRIDE_PHASES) / STRIDE_PHASES
    sketches = [
        _draw(px_per_m * size, clothes, swing * LARGEST_HIP_ANGLE, phase) for phase in phases
    ]
    width, height = sketches[0].size_px
    texture = noise_texture(
        (height, width), TEXTURE_CELL_M * px_per_m * size, TEXTURE_STRENGTH, rng
    )
    stride_m = 4 * (THIGH_M + SHIN_M) * np.sin(swing * LARGEST_HIP_ANGLE)  # the feet do not slide
    return Sprite(
        class_id=PEDESTRIAN,
        sheet=np.stack([sketch.image(texture) for sketch in sketches]),
        px_per_m=px_per_m,
        foot_px=sketches[0].origin_px,
        width_m=2 * REACH_M * size,
        period_m=size * stride_m,
    )


def _cloth(rng: np.random.Generator) -> float:
    """Return the shade of a dark or a bright piece of clothing."""
    low, high = ((0.04, 0.2), (0.35, 0.85))[rng.integers(2)]
    return rng.uniform(low, high)


def _draw(px_per_m: float, clothes: _Clothes, hip_angle: float, phase: float) -> Sketch:
    """Draw a phase of the stride; around 0 the near leg swings forward, around π the far one."""
    near_leg, far_leg = _leg(hip_angle, phase), _leg(hip_angle, phase + np.pi)
    hip_m = ANKLE_M - min(near_leg[2][1], far_leg[2][1])  # the lower foot stands on the ground
    shoulder = (0.03, hip_m + 0.52)

    def raised(points: list[Point], origin: Point) -> list[Point]:
        return [(origin[0] + x, origin[1] + y) for x, y in points]

    def draw_leg(points: list[Point], shade: float) -> None:
        hip, knee, ankle, toe = raised(points, (0.0, hip_m))
        sketch.line([ankle, toe], 0.08, clothes.shoes)
        sketch.line([hip, knee], 0.16, shade)
        sketch.line([knee, ankle], 0.12, shade)

    def draw_arm(points: list[Point], shade: float) -> None:
        *sleeve, hand = raised(points, shoulder)
        sketch.line([*sleeve, hand], 0.09, shade)
        sketch.ellipse(hand, (0.05, 0.05), clothes.skin)

    sketch = Sketch(-REACH_M, REACH_M, HEIGHT_M, px_per_m)
    draw_arm(_arm(hip_angle, phase + np.pi), 0.7 * clothes.top)
    draw_leg(far_leg, 0.7 * clothes.trousers)
    draw_leg(near_leg, clothes.trousers)
    if clothes.bag:
        sketch.rounded(
            raised([(-0.34, -0.4), (-0.34, 0.02), (0.0, 0.02), (0.0, -0.4)], shoulder),
            0.6 * clothes.top,
        )
    waist = clothes.waist_m - shoulder[1] - 0.04
    torso = [(-0.14, waist), (-0.15, -0.2), (-0.12, 0.04), (0.1, 0.05), (0.14, -0.2), (0.13, waist)]
    sketch.rounded(raised(torso, shoulder), clothes.top)
    sketch.line(raised([(0.0, 0.0), (0.02, 0.12)], shoulder), 0.1, clothes.skin)
    sketch.ellipse((shoulder[0] + 0.03, shoulder[1] + 0.19), (0.1, 0.13), clothes.skin)
    sketch.ellipse((shoulder[0] + 0.0, shoulder[1] + 0.24), (0.1, 0.09), clothes.hair)
    draw_arm(_arm(hip_angle, phase), 0.85 * clothes.top)
    return sketch


def _leg(hip_angle: float, phase: float) -> list[Point]:
    """Return hip, knee, ankle and toe of a leg, relative to the hip."""
    thigh = hip_angle * np.sin(phase)
    shin = thigh - 2.0 * hip_angle * max(0.0, np.cos(phase)) - 0.1  # the swinging leg bends
    knee = (THIGH_M * np.sin(thigh), -THIGH_M * np.cos(thigh))
    ankle = (knee[0] + SHIN_M * np.sin(shin), knee[1] - SHIN_M * np.cos(shin))
    toe = (ankle[0] + 0.16 * np.cos(shin), ankle[1] + 0.16 * np.sin(shin))
    return [(0.0, 0.0), knee, ankle, toe]


def _arm(hip_angle: float, phase: float) -> list[Point]:
    """Return shoulder, elbow and hand, relative to the shoulder; arms swing opposite to legs."""
    upper = -0.9 * hip_angle * np.sin(phase)
    fore = upper + 0.3
    elbow = (UPPER_ARM_M * np.sin(upper), -UPPER_ARM_M * np.cos(upper))
    return [
        (0.0, 0.0),
        elbow,
        (elbow[0] + FOREARM_M * np.sin(fore), elbow[1] - FOREARM_M * np.cos(fore)),
    ]
