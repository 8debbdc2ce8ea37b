"""The moving objects of a synthetic recording: they pass, stand, approach or drive away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from easnn.simulator.cars import draw_car_end, draw_car_side
from easnn.simulator.clock import STEADY, Clock
from easnn.simulator.pedestrians import draw_pedestrian
from easnn.simulator.scenario import STREET, Scenario
from easnn.simulator.sprite import CAR, PEDESTRIAN, Sprite
from easnn.simulator.stops import clock_at_crossing, log_uniform

DEPTH_M = {CAR: (5.0, 12.0), PEDESTRIAN: (3.5, 8.0)}
SLOTS = {CAR: (1, 3), PEDESTRIAN: (1, 4)}  # number of objects in the scene at any time
CARS_SEEN_FROM_THE_END = (0, 2)
BRISK_WALK_M_S = 1.4
MEAN_GAP_S = 0.5


@dataclass(frozen=True)
class Actor:
    """A moving object.

    At the time t of its clock it is x_m + speed_m_s·t to the right of the optical axis, at the
    depth depth_m + approach_m·exp(-t/settle_s).
    """

    sprite: Sprite
    x_m: float
    speed_m_s: float
    depth_m: float
    approach_m: float = 0.0
    settle_s: float = 1.0
    clock: Clock = STEADY

    def position_m(self, time_s: float) -> tuple[float, float]:
        """Return the position of the object: right of the optical axis, and depth."""
        own_s = self.clock.own_time_s(time_s)
        depth_m = self.depth_m + self.approach_m * np.exp(-own_s / self.settle_s)
        return self.x_m + self.speed_m_s * own_s, depth_m

    def velocity_m_s(self, time_s: float) -> tuple[float, float]:
        """Return the derivative of the position."""
        own_s, rate = self.clock.own_time_s(time_s), self.clock.rate(time_s)
        receding_m_s = -self.approach_m / self.settle_s * np.exp(-own_s / self.settle_s)
        return rate * self.speed_m_s, rate * receding_m_s

    def moved_until_s(self, time_s: float) -> float:
        """Return the last time up to ``time_s`` at which the object moved, 0 if it never did."""
        moves = self.speed_m_s != 0 or self.approach_m != 0
        return self.clock.moved_until_s(time_s) if moves else 0.0

    def image(self, time_s: float) -> np.ndarray:
        """Return the image of the object at a time, [h, w, 2]."""
        return self.sprite.image(abs(self.speed_m_s) * self.clock.own_time_s(time_s))


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


def choose_actors(
    view: View, duration_s: float, rng: np.random.Generator, scenario: Scenario = STREET
) -> list[Actor]:
    """Return the objects of a recording, with random appearance, position and speed."""
    counts = {
        class_id: rng.integers(*few_many, endpoint=True) for class_id, few_many in SLOTS.items()
    }
    slots = [class_id for class_id, count in counts.items() for _ in range(count)]
    passing = chain.from_iterable(
        _passing(class_id, view, duration_s, rng, scenario) for class_id in slots
    )
    ends = rng.integers(*CARS_SEEN_FROM_THE_END, endpoint=True)
    return [*passing, *(_approaching(view, duration_s, rng, scenario) for _ in range(ends))]


def _passing(
    class_id: int, view: View, duration_s: float, rng: np.random.Generator, scenario: Scenario
) -> Iterator[Actor]:
    """Yield objects that pass one after another; the first is in view at the start."""
    speeds = scenario.speed_heights_s[class_id]
    time_s = 0.0
    while time_s < duration_s:
        depth_m = log_uniform(DEPTH_M[class_id], rng)
        speed_m_s = log_uniform(speeds, rng) * view.height_px / view.focal_px * depth_m
        sprite = _draw(class_id, view.focal_px / depth_m, speed_m_s, rng)
        reach_m = view.half_angle * depth_m + sprite.width_m / 2
        start_m = -reach_m if time_s > 0 else rng.uniform(-0.9, 0.9) * reach_m
        direction = rng.choice((-1, 1))
        needs_s = (reach_m - start_m) / speed_m_s
        clock = clock_at_crossing(time_s, needs_s, duration_s, rng) if scenario.stops else STEADY
        yield Actor(
            sprite=sprite if direction > 0 else sprite.mirrored(),
            x_m=direction * (start_m - speed_m_s * time_s),
            speed_m_s=direction * speed_m_s,
            depth_m=depth_m,
            clock=clock,
        )
        stands_s = clock.time_s(time_s + needs_s) - (time_s + needs_s)
        time_s += needs_s + stands_s + rng.exponential(MEAN_GAP_S)


def _draw(class_id: int, px_per_m: float, speed_m_s: float, rng: np.random.Generator) -> Sprite:
    if class_id == CAR:
        return draw_car_side(px_per_m, rng)
    return draw_pedestrian(
        px_per_m, swing=float(np.clip(speed_m_s / BRISK_WALK_M_S, 0.1, 1.0)), rng=rng
    )


def _approaching(
    view: View, duration_s: float, rng: np.random.Generator, scenario: Scenario
) -> Actor:
    """Return a car that drives towards or away from the camera and stops."""
    start_m, end_m = (log_uniform(DEPTH_M[CAR], rng) for _ in range(2))
    settle_s = rng.uniform(1.0, 6.0)
    nearest_m = min(start_m, end_m + (start_m - end_m) * np.exp(-duration_s / settle_s))
    return Actor(
        sprite=draw_car_end(view.focal_px / nearest_m, rng),
        x_m=rng.uniform(-0.7, 0.7) * view.half_angle * nearest_m,
        speed_m_s=0.0,
        depth_m=end_m,
        approach_m=start_m - end_m,
        settle_s=settle_s,
        clock=clock_at_crossing(0.0, np.inf, duration_s, rng) if scenario.stops else STEADY,
    )
