"""Timing the parts of a loop."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from easnn.utils.device import synchronize
from easnn.utils.distributed import gather_objects

Item = TypeVar("Item")


class Stopwatch:
    """Accumulates the time spent in named parts of a loop, in seconds."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Discard all measurements and restart."""
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since the start or the last :meth:`reset`."""
        return time.perf_counter() - self._start

    def share(self, part: str) -> float:
        """Return the fraction of the elapsed time, 0 to 1, spent in ``part``."""
        return self.seconds.get(part, 0.0) / max(self.elapsed, 1e-9)

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the duration of the block to ``part``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start

    def waiting(self, items: Iterable[Item], part: str) -> Iterator[Item]:
        """Yield ``items``, adding the time spent waiting for each of them to ``part``."""
        iterator = iter(items)
        while True:
            with self.measure(part):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item


def format_duration(seconds: float) -> str:
    """Return e.g. ``1 d 02:03:04`` or ``02:03:04``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    clock = f"{hour:02}:{minute:02}:{second:02}"
    return f"{days} d {clock}" if days else clock


class PartTimer:
    """Measures the time that parts of a computation take on a device.

    Args:
        device: device of the computation.
        enabled: whether to measure; measuring synchronises the device and so costs time itself.
    """

    def __init__(self, device: torch.device, *, enabled: bool) -> None:
        self._device = device
        self._enabled = enabled
        self._stopwatch = Stopwatch()

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the duration of the block, on the device, to ``part``."""
        if not self._enabled:
            yield
            return
        synchronize(self._device)
        with self._stopwatch.measure(part):
            yield
            synchronize(self._device)

    def milliseconds_per(self, frames: int) -> dict[str, float] | None:
        """Return the mean duration of each part per frame over all processes; a collective call."""
        if not self._enabled:
            return None
        of_processes = gather_objects((self._stopwatch.seconds, frames))
        all_frames = sum(count for _, count in of_processes)
        parts = dict.fromkeys(part for seconds, _ in of_processes for part in seconds)
        return {
            part: 1000.0 * sum(seconds.get(part, 0.0) for seconds, _ in of_processes) / all_frames
            for part in parts
        }
