"""Detection in a stream of events: sliding windows that never lag behind without a word.

A window is due when an event at or after its end has arrived, or when the stream has ended. Its
boxes are those of an offline evaluation for the same window. Events are kept only as long as a
window needs them. If a source does not wait and more windows are due than may wait, the oldest are
dropped whole, and counted.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tabulate import tabulate

from easnn.events import EventSource, StreamCounts
from easnn.events.dtypes import EVENT_DTYPE, copied
from easnn.inference.detections import Detections
from easnn.inference.forward import GROUP
from easnn.inference.predictor import Predictor
from easnn.models import MemoryState
from easnn.representations import FrameSpec
from easnn.utils.errors import ConfigError, DataError

MAX_WAITING = 4
"""Default number of windows that may be due before the oldest one is dropped."""

LATENCIES_KEPT = 100_000
"""Of how many windows, the latest ones, the report describes the latency."""

QUANTILES = (50, 95, 99)


@dataclass(frozen=True, eq=False)
class LiveWindow:
    """A window of a stream and what was detected in it.

    Attributes:
        number: which of the stream's windows it is, from 0; those that were dropped count.
        dropped: how many windows were dropped right before it.
        detections: what was detected.
        latency_ms: time from the arrival of the window's last event to its boxes; None if no event
            is left for it.
    """

    number: int
    dropped: int
    detections: Detections
    latency_ms: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for a line of JSON."""
        latency = None if self.latency_ms is None else round(self.latency_ms, 2)
        return {
            "window": self.number,
            "time_us": self.detections.time_us,
            "dropped": self.dropped,
            "latency_ms": latency,
            "detections": list(self.detections),
        }


@dataclass
class LiveReport:
    """What was done with a stream so far.

    Attributes:
        source: name of the source.
        every_ms: time between the ends of two windows.
        window_ms: length of a window.
        counts: what arrived.
        windows: windows whose boxes are known.
        dropped: windows that were dropped.
        detections: number of boxes.
        seconds: time from the first event to the last boxes.
        latencies_ms: latencies of the last windows, at most LATENCIES_KEPT.
    """

    source: str
    every_ms: float
    window_ms: float
    counts: StreamCounts
    windows: int = 0
    dropped: int = 0
    detections: int = 0
    seconds: float = 0.0
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))

    def latency_ms(self) -> dict[str, float] | None:
        """Return quantiles of the latency; None if there is none."""
        if not self.latencies_ms:
            return None
        values = np.percentile(np.array(self.latencies_ms), QUANTILES).tolist()
        return {f"p{q}": round(value, 2) for q, value in zip(QUANTILES, values, strict=True)}

    def per_second(self, number: int) -> float:
        """Return a number per second of the time that the stream took, NaN for no time."""
        return number / self.seconds if self.seconds > 0 else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        speeds = {
            name: None if math.isnan(value) else round(value, 3)
            for name, value in (
                ("windows_per_s", self.per_second(self.windows)),
                ("events_per_s", self.per_second(self.counts.events)),
            )
        }
        return {
            "source": self.source,
            "every_ms": self.every_ms,
            "window_ms": self.window_ms,
            "windows": self.windows,
            "dropped": self.dropped,
            "detections": self.detections,
            "seconds": round(self.seconds, 3),
            "latency_ms": self.latency_ms(),
            **speeds,
            "arrived": asdict(self.counts),
        }

    def table(self) -> str:
        """Return a table for a terminal."""
        counts = self.counts
        latency = self.latency_ms()
        rows = [
            ("source", self.source),
            (
                "windows",
                f"{self.windows}, each {self.window_ms:g} ms, every {self.every_ms:g} ms",
            ),
            ("windows dropped", self.dropped),
            ("detections", self.detections),
            (
                "latency in ms",
                "–"
                if latency is None
                else ", ".join(f"{name} {value:.1f}" for name, value in latency.items()),
            ),
            ("windows per second", _shown(self.per_second(self.windows), 1)),
            ("events", counts.events),
            ("events per second", _shown(self.per_second(counts.events), 0)),
            ("events out of order", counts.out_of_order),
            ("events dropped", f"{counts.late} late, {counts.outside} outside of the sensor"),
            ("packets", f"{counts.lost_packets} lost, {counts.cut_packets} cut off"),
        ]
        return tabulate(rows, tablefmt="plain", disable_numparse=True)


class Watcher:
    """Detects objects in sliding windows of a source; iterate once over its windows.

    The first window ends ``every_ms`` after the first event, as those of
    :meth:`~easnn.inference.Predictor.watch`. A memory is carried from each window that is computed
    to the next. If windows may be dropped, the source is read by a thread of its own, and otherwise
    whenever all windows that are due have been computed.

    Args:
        predictor: detects.
        source: the events.
        every_ms: time between the ends of two windows; None: the length of a window.
        max_waiting: how many windows may be due before the oldest is dropped.
        drops: whether windows may be dropped; None: if the source does not wait.

    Raises:
        ConfigError: if windows cannot be made from a stream, or an argument is out of range.
    """

    def __init__(
        self,
        predictor: Predictor,
        source: EventSource,
        *,
        every_ms: float | None = None,
        max_waiting: int = MAX_WAITING,
        drops: bool | None = None,
    ) -> None:
        spec = predictor.spec
        spec.check_from_events()
        if spec.window == 0:
            raise ConfigError(
                "`window` must not be 0 for a stream, which has no end, but the frames of this "
                "checkpoint are whole recordings."
            )
        every_ms = spec.duration_us / 1000 if every_ms is None else every_ms
        every_us = round(1000 * every_ms) if math.isfinite(every_ms) else 0
        if every_us < 1:
            raise ConfigError(f"`every_ms` must be at least 0.001, but is {every_ms}.")
        if max_waiting < 1:
            raise ConfigError(f"`max_waiting` must be at least 1, but is {max_waiting}.")
        self._predictor = predictor
        self._source = source
        self._drops = not source.waits if drops is None else drops
        # Windows that are not computed at the same time would only wait for one another.
        at_once = torch.get_num_threads() if predictor.device.type == "cpu" else GROUP
        self._group = min(GROUP, at_once) if self._drops else GROUP
        self._state: MemoryState | None = None
        self._due = _DueWindows(spec, every_us, max_waiting if self._drops else None)
        self.report = LiveReport(
            source.name, every_us / 1000, spec.duration_us / 1000, source.counts
        )

    def __iter__(self) -> Iterator[LiveWindow]:
        """Yield the windows in order.

        Raises:
            DataError: if what arrives is damaged, after the windows before it.
        """
        self._warm_up()
        return self._as_they_come() if self._drops else self._one_after_another()

    def _one_after_another(self) -> Iterator[LiveWindow]:
        error = None
        try:
            for events in self._source:
                self._due.put(events, time.perf_counter())
                while self._due.waiting() >= self._group:
                    yield from self._detected(self._due.take(self._group))
        except DataError as damage:
            error = damage
        self._due.end(error)
        while batch := self._due.take(self._group):
            yield from self._detected(batch)

    def _as_they_come(self) -> Iterator[LiveWindow]:
        thread = threading.Thread(target=self._read, name="events", daemon=True)
        thread.start()
        try:
            while batch := self._due.take(self._group):
                yield from self._detected(batch)
        finally:
            self._source.close()
            thread.join(timeout=1)

    def _read(self) -> None:
        """Read the source in a thread; an error is raised in the thread that takes windows."""
        error: Exception | None = None
        try:
            for events in self._source:
                self._due.put(events, time.perf_counter())
        except Exception as raised:
            error = raised
        self._due.end(error)

    def _warm_up(self) -> None:
        """Compute a window without events, which takes longer the first time."""
        hw = self._source.sensor_hw or self._predictor.input_hw
        self._predictor.detect_next(_Held(self._source.name, hw, np.empty(0, EVENT_DTYPE)), [0])

    def _detected(self, batch: _Batch | None) -> Iterator[LiveWindow]:
        assert batch is not None
        sensor_hw = self._source.sensor_hw
        if sensor_hw is None:
            raise DataError(
                f"{self._source.name} does not say the size of its sensor. Give it with "
                "--sensor-size HxW (`sensor_hw` in Python)."
            )
        held = _Held(self._source.name, sensor_hw, batch.events)
        found, self._state = self._predictor.detect_next(held, batch.times_us, self._state)
        now = time.perf_counter()
        report = self.report
        report.seconds = now - batch.began
        dropped = batch.dropped
        for number, (detections, arrived) in enumerate(
            zip(found, batch.arrived, strict=True), batch.first
        ):
            latency_ms = None if arrived is None else 1000 * (now - arrived)
            report.windows += 1
            report.dropped += dropped
            report.detections += len(detections)
            if latency_ms is not None:
                report.latencies_ms.append(latency_ms)
            yield LiveWindow(number, dropped, detections, latency_ms)
            dropped = 0


class _Batch(NamedTuple):
    """Windows that are due.

    Attributes:
        first: number of the first one.
        times_us: their ends.
        arrived: when the last event of each arrived; None if none is kept.
        events: the events that they need.
        dropped: how many windows were dropped before the first one, since the last batch.
        began: when the first event of the stream arrived.
    """

    first: int
    times_us: list[int]
    arrived: list[float | None]
    events: np.ndarray
    dropped: int
    began: float


class _DueWindows:
    """The events that windows still need, and the windows that are due; safe for two threads.

    Args:
        spec: length of the windows, and how far before them events are looked for.
        every_us: time between the ends of two windows.
        max_waiting: how many windows may wait; None: all.
    """

    def __init__(self, spec: FrameSpec, every_us: int, max_waiting: int | None) -> None:
        self._needed_us = (spec.Tl + 2) * spec.duration_us  # see `label_window`
        self._every_us = every_us
        self._max_waiting = max_waiting
        self._changed = threading.Condition()
        self._pieces: deque[tuple[np.ndarray, float]] = deque()
        self._first_us = 0
        self._began: float | None = None
        self._next = 0
        self._stop = 0  # the number after that of the last window that is due
        self._dropped = 0
        self._latest_us = 0
        self._ended = False
        self._error: Exception | None = None

    def put(self, events: np.ndarray, arrived: float) -> None:
        """Add events that have arrived, and drop windows if too many are due."""
        if len(events) == 0:
            return
        with self._changed:
            if self._began is None:
                self._began, self._first_us = arrived, int(events["t_us"][0])
            self._latest_us = int(events["t_us"][-1])
            self._pieces.append((events, arrived))
            self._advance((self._latest_us - self._first_us) // self._every_us)

    def end(self, error: Exception | None = None) -> None:
        """Make the last window due; ``error`` is raised after it."""
        with self._changed:
            self._ended, self._error = True, error
            due = 0
            if self._began is not None:
                due = (self._latest_us - self._first_us) // self._every_us + 1
            self._advance(due)

    def waiting(self) -> int:
        """Return how many windows are due."""
        return self._stop - self._next

    def take(self, most: int) -> _Batch | None:
        """Wait for windows and return at most ``most`` of them; None after the last one."""
        with self._changed:
            while self._stop == self._next and not self._ended:
                self._changed.wait()
            if self._stop == self._next:
                if self._error is not None:
                    raise self._error
                return None
            assert self._began is not None
            first, stop = self._next, min(self._stop, self._next + most)
            times_us = [self._end_us(number) for number in range(first, stop)]
            pieces = [piece for piece in self._pieces if piece[0]["t_us"][0] < times_us[-1]]
            dropped, self._dropped = self._dropped, 0
            self._next = stop
            self._trim()
        arrived = [_last_arrival(pieces, end_us - self._needed_us, end_us) for end_us in times_us]
        parts = [events for events, _ in pieces] or [np.empty(0, EVENT_DTYPE)]
        return _Batch(first, times_us, arrived, np.concatenate(parts), dropped, self._began)

    def _end_us(self, number: int) -> int:
        return self._first_us + (number + 1) * self._every_us

    def _advance(self, stop: int) -> None:
        self._stop = stop
        if self._max_waiting is not None and self.waiting() > self._max_waiting:
            kept = self._stop - self._max_waiting
            self._dropped += kept - self._next
            self._next = kept
        self._trim()
        self._changed.notify()

    def _trim(self) -> None:
        """Forget the events that no window needs any more."""
        start_us = self._end_us(self._next) - self._needed_us
        while self._pieces and self._pieces[0][0]["t_us"][-1] < start_us:
            self._pieces.popleft()


def _last_arrival(
    pieces: list[tuple[np.ndarray, float]], start_us: int, end_us: int
) -> float | None:
    """Return when the last event from ``start_us`` to before ``end_us`` arrived."""
    for events, arrived in reversed(pieces):
        if events["t_us"][0] < end_us:
            last = bisect_left(events["t_us"], end_us) - 1
            return arrived if events["t_us"][last] >= start_us else None
    return None


class _Held:
    """Events in memory as a :class:`~easnn.events.Recording`."""

    def __init__(self, name: str, sensor_hw: tuple[int, int], events: np.ndarray) -> None:
        self.path = Path(name)
        self.sensor_hw = sensor_hw
        self._events = events
        self.first_us = int(events["t_us"][0]) if len(events) else 0
        self.last_us = int(events["t_us"][-1]) if len(events) else 0

    def __len__(self) -> int:
        return len(self._events)

    def window(self, start_us: int, end_us: int) -> np.ndarray:
        """See :class:`~easnn.events.Recording`."""
        t_us = self._events["t_us"]
        return copied(self._events[bisect_left(t_us, start_us) : bisect_left(t_us, end_us)])

    def events(self) -> np.ndarray:
        """See :class:`~easnn.events.Recording`."""
        return copied(self._events)


def _shown(number: float, digits: int) -> str:
    return "–" if math.isnan(number) else f"{number:,.{digits}f}"
