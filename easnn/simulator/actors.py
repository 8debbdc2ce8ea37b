"""The moving objects of a synthetic recording: they pass, stand, approach or drive away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from easnn.simulator.cars import draw_car_end, draw_car_side
from easnn.simulator.pedestrians import draw_pedestrian
from easnn.simulator.sprite import CAR, PEDESTRIAN, Sprite

SPEED_HEIGHTS_S = {CAR: (0.02, 1.2), PEDESTRIAN: (0.015, 0.3)}  # in sensor heights per second
DEPTH_M = {CAR: (5.0, 12.0), PEDESTRIAN: (3.5, 8.0)}
SLOTS = {CAR: (1, 3), PEDESTRIAN: (1, 4)}  # number of objects in the scene at any time
CARS_SEEN_FROM_THE_END = (0, 2)
BRISK_WALK_M_S = 1.4
MEAN_GAP_S = 0.5


@dataclass(frozen=True)
class Actor:
    """A moving object.

    At time t it is x_m + speed_m_s·t to the right of the optical axis, at the depth
    depth_m + approach_m·exp(-t/settle_s).
    """

    sprite: Sprite
    x_m: float
    speed_m_s: float
    depth_m: float
    approach_m: float = 0.0
    settle_s: float = 1.0

    def position_m(self, time_s: float) -> tuple[float, float]:
        """Return the position of the object: right of the optical axis, and depth."""
        depth_m = self.depth_m + self.approach_m * np.exp(-time_s / self.settle_s)
        return self.x_m + self.speed_m_s * time_s, depth_m

    def image(self, time_s: float) -> np.ndarray:
        """Return the image of the object at a time, [h, w, 2]."""
        return self.sprite.image(abs(self.speed_m_s) * time_s)


@dataclass(frozen=True)
class View:
    """The field of view of the camera.

    Attributes:
        focal_px: focal length in pixels.
        height_px: height of the sensor.
        half_angle: half of the visible width, including all pans, divided by the depth.
    """

    focal_px: float
    height_px: int
    half_angle: float


def choose_actors(view: View, duration_s: float, rng: np.random.Generator) -> list[Actor]:
    """Return the objects of a recording, with random appearance, position and speed."""
    counts = {
        class_id: rng.integers(*few_many, endpoint=True) for class_id, few_many in SLOTS.items()
    }
    slots = [class_id for class_id, count in counts.items() for _ in range(count)]
    passing = chain.from_iterable(_passing(class_id, view, duration_s, rng) for class_id in slots)
    ends = rng.integers(*CARS_SEEN_FROM_THE_END, endpoint=True)
    return [*passing, *(_approaching(view, duration_s, rng) for _ in range(ends))]


def _passing(
    class_id: int, view: View, duration_s: float, rng: np.random.Generator
) -> Iterator[Actor]:
    """Yield objects that pass one after another; the first is in view at the start."""
    time_s = 0.0
    while time_s < duration_s:
        depth_m = _log_uniform(DEPTH_M[class_id], rng)
        speed_m_s = (
            _log_uniform(SPEED_HEIGHTS_S[class_id], rng) * view.height_px / view.focal_px * depth_m
        )
        sprite = _draw(class_id, view.focal_px / depth_m, speed_m_s, rng)
        reach_m = view.half_angle * depth_m + sprite.width_m / 2
        start_m = -reach_m if time_s > 0 else rng.uniform(-0.9, 0.9) * reach_m
        direction = rng.choice((-1, 1))
        yield Actor(
            sprite=sprite if direction > 0 else sprite.mirrored(),
            x_m=direction * (start_m - speed_m_s * time_s),
            speed_m_s=direction * speed_m_s,
            depth_m=depth_m,
        )
        time_s += (reach_m - start_m) / speed_m_s + rng.exponential(MEAN_GAP_S)


def _draw(class_id: int, px_per_m: float, speed_m_s: float, rng: np.random.Generator) -> Sprite:
    if class_id == CAR:
        return draw_car_side(px_per_m, rng)
    return draw_pedestrian(
        px_per_m, swing=float(np.clip(speed_m_s / BRISK_WALK_M_S, 0.1, 1.0)), rng=rng
    )


def _approaching(view: View, duration_s: float, rng: np.random.Generator) -> Actor:
    """Return a car that drives towards or away from the camera and stops."""
    start_m, end_m = (_log_uniform(DEPTH_M[CAR], rng) for _ in range(2))
    settle_s = rng.uniform(1.0, 6.0)
    nearest_m = min(start_m, end_m + (start_m - end_m) * np.exp(-duration_s / settle_s))
    return Actor(
        sprite=draw_car_end(view.focal_px / nearest_m, rng),
        x_m=rng.uniform(-0.7, 0.7) * view.half_angle * nearest_m,
        speed_m_s=0.0,
        depth_m=end_m,
        approach_m=start_m - end_m,
        settle_s=settle_s,
    )


def _log_uniform(low_high: tuple[float, float], rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(low_high))))
