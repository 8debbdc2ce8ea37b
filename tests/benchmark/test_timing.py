from __future__ import annotations

import pytest

from easnn.benchmark import timing
from easnn.benchmark.machine import Ceilings
from easnn.benchmark.runner import reached
from easnn.benchmark.timing import Spread, Variant, measure_in_turn, ratios, time_in_turn
from easnn.benchmark.work import Work


class Clock:
    """A clock that advances only when a variant runs.

    Attributes:
        calls: names of the variants that have run.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.calls: list[str] = []
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def variant(self, name: str, seconds: list[float], samples: int = 1) -> Variant:
        """Return a variant whose calls take these seconds; the last number is repeated."""
        left = list(seconds)

        def run() -> None:
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return Variant(name, run, samples)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_variants_take_turns_after_their_warm_up(clock: Clock) -> None:
    variants = [clock.variant("a", [9.0, 2.0, 4.0, 6.0]), clock.variant("b", [9.0, 1.0])]
    ticks = []
    values = time_in_turn(variants, 3, after_run=lambda: ticks.append(len(clock.calls)))
    assert "".join(clock.calls) == "ab" + "ba" + "ab" + "ba"
    assert values == [[2.0, 4.0, 6.0], [1.0, 1.0, 1.0]]
    assert ticks == [1, 2, 3, 4, 5, 6, 7, 8]


def test_short_variants_are_repeated_and_the_time_is_that_of_a_sample(clock: Clock) -> None:
    # 0.05 s per round: one call for the warm-up, then seven of 8 ms each
    [values] = time_in_turn([clock.variant("a", [0.5, 0.008], samples=4)], 2, after_run=int)
    assert values == pytest.approx([0.002, 0.002])
    assert len(clock.calls) == 1 + 7 + 7


def test_ratios_are_computed_round_by_round() -> None:
    reference, other = ratios([[2.0, 4.0, 9.0], [1.0, 4.0, 3.0]])
    assert (reference.median, reference.low, reference.high) == (1, 1, 1)
    assert other == Spread(2.0, 1.0, 3.0)  # the ratio of the medians would be 4/3


def test_what_a_variant_returns_is_measured_without_a_clock() -> None:
    numbers = iter([1.0, 2.0, 3.0, 4.0])
    variants = [Variant("a", lambda: next(numbers)), Variant("b", lambda: next(numbers))]
    assert measure_in_turn(variants, 2, after_run=int) == [[1.0, 3.0], [2.0, 4.0]]


def test_shares_of_the_ceilings() -> None:
    ceilings = Ceilings(fp32_flops=1000.0, bf16_flops=4000.0, copy_bytes_per_s=800.0)
    work = Work(operations=500.0, values=50.0)
    full = reached(work, Variant("a", int), 2.0, ceilings)
    assert (full.operations, full.bytes) == (500, 200)
    assert (full.of_convolution, full.of_copy) == (0.25, 0.125)
    half = reached(work, Variant("a", int, 1, 2, "bf16"), 2.0, ceilings)
    assert (half.bytes, half.of_convolution, half.of_copy) == (100, 0.0625, 0.0625)
