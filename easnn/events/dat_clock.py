"""Times of DAT events, which are stored as a wrapping 32-bit counter and not always in order.

Definition: let c[i] be the counter of record i, in µs. If c falls by more than 2³¹ from one record
to the next, the counter wrapped: 2³² is added from this record on. If c rises by 2³² - 1 s or more
after a wrap, the record belongs before the wrap and is up to 1 s late: 2³² is subtracted again. The
result is the unwrapped time u[i]. Because records may be late, the time of record i is the running
maximum t[i] = max(u[0], …, u[i]), which never decreases. A record that is more than 1 s late is an
error: the camera's clock restarted, or the file is damaged.

A single damaged counter would look like a wrap: c rises to it by almost 2³² and falls back, or
falls to it and rises back. Before a true wrap, c gets close to 2³² step by step. So any other rise
by more than 2³¹ in one step is an error: no recording is silent for 35 minutes.

Algorithm: a recording may have 10⁹ records, so only some are read when it is opened, and a search
uses bisection. The result is exact

- for every recording of up to LATE_RECORDS records;
- for a longer recording, if no record is LATE_RECORDS or more places behind a later one, and if no
  1/MAX_PARTS of the records (at least 2 × LATE_RECORDS) lasts 2³² µs (71 min) or more.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from easnn.events.checks import LATE_US, NO_TIME_US, running_maximum

LATE_RECORDS = 65_536
MAX_PARTS = 64

PERIOD_US = 2**32
WRAP_FALL_US = 2**31
LATE_RISE_US = PERIOD_US - LATE_US
MAX_RISE_US = 2**31
"""A larger rise from one record to the next is damage, if it is not that of a late record."""


class RecordClock:
    """The times of N ≥ 1 records, given their counters [N] (never copied as a whole).

    Attributes:
        first_fall: the first record that is more than LATE_US before the one before it, as far as
            it was noticed: only some parts of a long recording are read here.
        first_jump: the first record whose counter is more than MAX_RISE_US above the one before it
            and that does not belong before a wrap. As far as it matters for wraps, it is always
            noticed: one end of the jump is in a part in which the counter falls.
    """

    def __init__(self, counter: npt.NDArray[np.uint32]) -> None:
        self._counter = counter
        found = _find_turns(counter)
        self.first_fall, self.first_jump = found.first_fall, found.first_jump
        self._turns: list[int] = found.turns.tolist()
        # Before the first turn, then after each.
        self._wraps: list[int] = [0, *found.wraps.tolist()]

    @property
    def first_us(self) -> int:
        """Time of the first record."""
        return self._unwrapped_at(0)

    @property
    def last_us(self) -> int:
        """Time of the last record."""
        count = len(self._counter)
        return int(self.unwrapped(max(0, count - LATE_RECORDS), count).max())

    def search(self, time_us: int) -> int:
        """Return the index of the first record at or after ``time_us``, N if there is none.

        The running maximum reaches ``time_us`` at the first record whose unwrapped time does.
        Because the order is not perfect, bisection finds some record that does and directly follows
        one that does not. The first one that does is therefore at most LATE_RECORDS before it.
        """
        found = bisect_left(range(len(self._counter)), time_us, key=self._unwrapped_at)
        start = max(0, found - LATE_RECORDS)
        reached = self.unwrapped(start, found) >= time_us
        return start + int(reached.argmax()) if reached.any() else found

    def parts(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield the parts of the records ``start`` to ``stop`` in which u - c is constant.

        Yields:
            First record, end, and the difference in µs: the counter wrapped once for every 2³².
        """
        first = bisect_right(self._turns, start)
        last = bisect_left(self._turns, stop, lo=first)
        bounds = [start, *self._turns[first:last], stop]
        for begin, end, wraps in zip(
            bounds[:-1], bounds[1:], self._wraps[first : last + 1], strict=True
        ):
            yield begin, end, PERIOD_US * wraps

    def late_records(self) -> tuple[int, int | None]:
        """Return how many records are late, and the first by more than LATE_US; this reads all."""
        late, latest_us, too_late = 0, NO_TIME_US, None
        for start in range(0, len(self._counter), LATE_RECORDS):
            stored_us = self.unwrapped(start, min(start + LATE_RECORDS, len(self._counter)))
            late_us = running_maximum(stored_us, latest_us) - stored_us
            late += int(np.count_nonzero(late_us))
            if too_late is None and (late_us > LATE_US).any():
                too_late = start + int((late_us > LATE_US).argmax())
            latest_us = max(latest_us, int(stored_us.max()))
        return late, too_late

    def unwrapped(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Return the unwrapped times of the records ``start`` to ``stop``, in µs."""
        times = self._counter[start:stop].astype(np.int64)
        for begin, end, wrapped_us in self.parts(start, stop):
            times[begin - start : end - start] += wrapped_us
        return times

    def _unwrapped_at(self, index: int) -> int:
        return self._counter.item(index) + PERIOD_US * self._wraps[bisect_right(self._turns, index)]


class _Turns(NamedTuple):
    """What is to be known of the counters of a recording.

    Attributes:
        turns: the records at which the number of wraps changes [K].
        wraps: the number of wraps from each of them on [K].
        first_fall: see :class:`RecordClock`.
        first_jump: see :class:`RecordClock`.
    """

    turns: npt.NDArray[np.int64]
    wraps: npt.NDArray[np.int64]
    first_fall: int | None
    first_jump: int | None


def _find_turns(counter: npt.NDArray[np.uint32]) -> _Turns:
    """Return the records at which the number of wraps changes, and the first damaged ones.

    Only the parts of the recording that may contain a change are read. If the counter does not fall
    from the first record of a part to its last, the part has as many steps forward over a wrap as
    back. Such pairs come from late records, which occur only next to a part in which the counter
    falls, or at the end of the recording.
    """
    last = len(counter) - 1
    ends = np.array([0, last])
    if last > 2 * LATE_RECORDS:
        parts = min(MAX_PARTS, last // LATE_RECORDS - 1)
        ends = np.append(np.linspace(0, last - LATE_RECORDS, parts + 1).astype(np.int64), last)
    falls = np.diff(counter[ends].astype(np.int64)) < 0
    suspect = falls.copy()
    suspect[1:] |= falls[:-1]
    suspect[:-1] |= falls[1:]
    suspect[-1] = True

    turn_parts, step_parts, first_fall, jumps = [], [], None, []
    for part in np.flatnonzero(suspect):
        first = int(ends[part]) + 1
        rises = np.diff(counter[ends[part] : ends[part + 1] + 1].astype(np.int64))
        step = (rises < -WRAP_FALL_US).astype(np.int64) - (rises >= LATE_RISE_US)
        turn = np.flatnonzero(step)
        if first_fall is None and rises.min(initial=0) < -LATE_US:
            fall = (rises < -LATE_US) & (step == 0)  # and not where the counter wrapped
            first_fall = first + int(fall.argmax()) if fall.any() else None
        if rises.max(initial=0) > MAX_RISE_US:
            jumps += (first + np.flatnonzero((rises > MAX_RISE_US) & (step == 0))[:1]).tolist()
        turn_parts.append(first + turn)
        step_parts.append(step[turn])
    turns, steps = np.concatenate(turn_parts), np.concatenate(step_parts)
    wraps = np.cumsum(steps)
    wraps -= np.minimum.accumulate(np.minimum(wraps, 0))  # before the first wrap, no record is late
    no_wrap_before = (steps < 0) & (np.diff(wraps, prepend=0) == 0)
    jumps += turns[no_wrap_before][:1].tolist()
    return _Turns(turns, wraps, first_fall, min(jumps, default=None))
