"""Random stops: of a car at a crossing, a pedestrian at the kerb, a camera that is turned."""

from __future__ import annotations

import numpy as np

from easnn.simulator.clock import STEADY, Clock

MOVES_S, STANDS_S = (0.4, 2.5), (0.3, 4.0)  # lengths of a motion and of a stop
BRAKES_S = 0.2  # time to come to a stand, and to be at full speed again
WAYS = {"passes": 0.25, "halts": 0.4, "parks": 0.15, "pulls out": 0.2}
"""Share of what passes without a stop, stops and goes on again and again, stops for good, and
stands at the beginning and leaves."""


def clock_at_crossing(
    enters_s: float, needs_s: float, duration_s: float, rng: np.random.Generator
) -> Clock:
    """Return when something stops and starts again.

    Args:
        enters_s: time at which it comes into view, from where it may stop.
        needs_s: how long it then needs to leave the view without any stop.
        duration_s: length of the recording.
        rng: source of the times.
    """
    way = rng.choice(list(WAYS), p=list(WAYS.values()))
    if way == "passes":
        return STEADY
    if way == "pulls out" and enters_s == 0:
        starts_s = log_uniform(STANDS_S, rng)
        return Clock((0.0, starts_s, starts_s + BRAKES_S), (0.0, 0.0, 1.0))
    times_s, rates = [0.0], [1.0]
    now_s, own_s = enters_s, 0.0
    while True:
        moves_s = log_uniform(MOVES_S, rng)
        own_s += moves_s + BRAKES_S
        if own_s >= needs_s or now_s > duration_s:
            return Clock(tuple(times_s), tuple(rates))
        stops_s = now_s + moves_s + BRAKES_S
        times_s += [stops_s - BRAKES_S, stops_s]
        rates += [1.0, 0.0]
        if way == "parks":
            return Clock(tuple(times_s), tuple(rates))
        starts_s = stops_s + log_uniform(STANDS_S, rng)
        now_s = starts_s + BRAKES_S
        times_s += [starts_s, now_s]
        rates += [0.0, 1.0]


def log_uniform(low_high: tuple[float, float], rng: np.random.Generator) -> float:
    """Return a number between two, whose logarithm is uniformly distributed."""
    return float(np.exp(rng.uniform(*np.log(low_high))))
