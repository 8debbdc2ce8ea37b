"""Time measurement of the parts of a loop."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

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
    return f"{days} d " * (days > 0) + f"{hour:02}:{minute:02}:{second:02}"
