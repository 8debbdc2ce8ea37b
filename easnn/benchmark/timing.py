"""Timing variants in turn: each round runs all of them, so that noise meets them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

MIN_SECONDS = 0.05
"""A variant is repeated within a round until it has run this long."""


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of the values of all rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Summarize at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Variant:
    """A way to compute a result.

    Attributes:
        name: such as ``published, exact``.
        run: computes the result once; in a section about memory it returns bytes.
        samples: samples per call.
        value_bytes: bytes of an activation, for the share of the memory bandwidth.
        precision: ``exact`` or ``bf16``, which selects the ceiling of convolutions.
    """

    name: str
    run: Callable[[], object]
    samples: int = 1
    value_bytes: int = 4
    precision: str = "exact"


def seconds_per_sample(variant: Variant) -> float:
    """Run a variant, more than once if it is short, and return its time per sample."""
    begin, seconds, calls = time.perf_counter(), 0.0, 0
    while calls == 0 or seconds < MIN_SECONDS:
        variant.run()
        calls += 1
        seconds = time.perf_counter() - begin
    return seconds / (calls * variant.samples)


def time_in_turn(
    variants: Sequence[Variant], rounds: int, *, after_run: Callable[[], object]
) -> list[list[float]]:
    """Return the seconds per sample of each variant in each round.

    A first round, which prepares kernels and memory, is not counted. Every second round runs the
    variants in reverse order.

    Args:
        variants: they compute the same.
        rounds: number of rounds, at least 1.
        after_run: called after each variant of each round, also of the first one, for progress.
    """
    values: list[list[float]] = [[] for _ in variants]
    for number in range(rounds + 1):
        pairs = list(zip(variants, values, strict=True))
        for variant, own in pairs if number % 2 == 0 else reversed(pairs):
            own.append(seconds_per_sample(variant))
            after_run()
    return [own[1:] for own in values]


def measure_in_turn(
    variants: Sequence[Variant], rounds: int, *, after_run: Callable[[], object]
) -> list[list[float]]:
    """Return what each variant returns in each round, such as bytes; no warm-up."""
    values: list[list[float]] = [[] for _ in variants]
    for _ in range(rounds):
        for variant, own in zip(variants, values, strict=True):
            result = variant.run()
            assert isinstance(result, float)
            own.append(result)
            after_run()
    return values


def ratios(values: Sequence[Sequence[float]]) -> list[Spread]:
    """Return, for each variant, how many times less it needs than the first one.

    Args:
        values: of each variant, one per round; the ratio is computed round by round.
    """
    first = values[0]
    return [
        Spread.of([reference / own for reference, own in zip(first, each, strict=True)])
        for each in values
    ]
