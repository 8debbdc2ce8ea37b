"""The own time of what stops and starts again."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import accumulate, pairwise


@dataclass(frozen=True)
class Clock:
    """How fast something lives through its own time: 1 while it moves, 0 while it stands.

    A motion is a function of own time. Where the clock stands, the whole motion stands: position,
    wheels, arms and legs. The rate is interpolated linearly between the knots and constant before
    the first and after the last one. The default clock is always equal to the time itself.

    Attributes:
        times_s: the knots, from 0 on, increasing.
        rates: the rate at each knot, from 0 to 1.
    """

    times_s: tuple[float, ...] = (0.0,)
    rates: tuple[float, ...] = (1.0,)

    def own_time_s(self, time_s: float) -> float:
        """Return the integral of the rate from 0 to a time."""
        last = bisect_right(self.times_s, time_s) - 1
        since_s = time_s - self.times_s[last]
        return self._passed_s()[last] + (self.rates[last] + self.rate(time_s)) / 2 * since_s

    def time_s(self, own_time_s: float) -> float:
        """Return the first time at which the own time has come, infinite if it never comes."""
        passed_s = self._passed_s()
        last = max(0, bisect_left(passed_s, own_time_s) - 1)
        missing_s, rate = own_time_s - passed_s[last], self.rates[last]
        if last == len(passed_s) - 1:
            return self.times_s[last] + missing_s / rate if rate > 0 else math.inf
        # Between two knots: missing = rate·t + slope·t²/2, solved without a division by the slope.
        slope = (self.rates[last + 1] - rate) / (self.times_s[last + 1] - self.times_s[last])
        root = math.sqrt(max(0.0, rate**2 + 2 * slope * missing_s))
        return self.times_s[last] + (2 * missing_s / (rate + root) if missing_s else 0.0)

    def rate(self, time_s: float) -> float:
        """Return the rate at a time."""
        following = bisect_right(self.times_s, time_s)
        before = self.rates[following - 1]
        if following == len(self.times_s):
            return before
        start_s, end_s = self.times_s[following - 1 : following + 1]
        return before + (self.rates[following] - before) * (time_s - start_s) / (end_s - start_s)

    def moved_until_s(self, time_s: float) -> float:
        """Return the last time up to ``time_s`` at which the clock ran, 0 if it never did."""
        if self.rate(time_s) > 0:
            return time_s
        last_s = time_s
        for knot_s, rate in zip(reversed(self.times_s), reversed(self.rates), strict=True):
            if knot_s <= time_s:
                if rate > 0:
                    return last_s
                last_s = knot_s
        return 0.0

    def _passed_s(self) -> list[float]:
        """Return the own time at each knot."""
        spans = zip(pairwise(self.times_s), pairwise(self.rates), strict=True)
        return [0.0, *accumulate((b - a) * (p + q) / 2 for (a, b), (p, q) in spans)]


STEADY = Clock()
"""Everything moves evenly."""
