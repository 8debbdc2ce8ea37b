"""Timing variants in turn: each round runs all of them, so that noise meets them alike."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

MIN_SECONDS = 0.05
"""A variant is repeated within a round until it has run about this long."""

MAX_REPEATS = 1000

LONG_SECONDS = 0.3
"""A variant whose first call takes longer is called once per round."""


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
        name: such as ``published, fp32``.
        run: computes the result once; in a section about memory it returns bytes.
        samples: samples per call.
        value_bytes: bytes of an activation, for the share of the memory bandwidth.
        precision: ``fp32`` or ``bf16``, which selects the ceiling of convolutions.
    """

    name: str
    run: Callable[[], object]
    samples: int = 1
    value_bytes: int = 4
    precision: str = "fp32"


def seconds_per_sample(variant: Variant, repeats: int = 1) -> float:
    """Run a variant and return its time per sample."""
    begin = time.perf_counter()
    for _ in range(repeats):
        variant.run()
    return (time.perf_counter() - begin) / (repeats * variant.samples)


def time_in_turn(
    variants: Sequence[Variant], rounds: int, *, after_run: Callable[[], object]
) -> list[list[float]]:
    """Return the seconds per sample of each variant in each round.

    The first call of each variant is not counted: it prepares kernels and memory. Nor is a second
    one that says how often a short variant is repeated per round. Every second round runs the
    variants in reverse order.

    Args:
        variants: they compute the same.
        rounds: number of rounds, at least 1.
        after_run: called after each variant of each round and after its warm-up, for progress.
    """
    repeats = []
    for variant in variants:
        repeats.append(_repeats_after_warm_up(variant))
        after_run()
    values: list[list[float]] = [[] for _ in variants]
    for number in range(rounds):
        order = list(range(len(variants)))
        for k in order if number % 2 == 0 else reversed(order):
            values[k].append(seconds_per_sample(variants[k], repeats[k]))
            after_run()
    return values


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


def _repeats_after_warm_up(variant: Variant) -> int:
    if seconds_per_sample(variant) * variant.samples > LONG_SECONDS:
        return 1
    seconds = max(seconds_per_sample(variant) * variant.samples, 1e-9)
    return min(MAX_REPEATS, max(1, math.ceil(MIN_SECONDS / seconds)))
