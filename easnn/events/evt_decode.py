"""Decoders of the encodings EVT2, EVT2.1 and EVT3 of Prophesee's RAW files.

A file is a sequence of words. Many words set values for the words after them (the high bits of the
time, the row), so a decoder takes the state after the previous words and returns the new state.
With the stored state, any part of a file can be decoded separately.

These decoders use NumPy. :mod:`easnn.events.evt_blocks` has native ones with the same results.

The four highest bits of a word are its type. Words of types other than those below (triggers, user
data) are skipped, and so are events before the first high time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easnn.events.dtypes import EVENT_DTYPE, pack_events

EVT3_ROW, EVT3_SINGLE, EVT3_BASE, EVT3_VECTOR_12, EVT3_VECTOR_8, EVT3_TIME_LOW = 0, 2, 3, 4, 5, 6
TIME_HIGH = 8
EVT2_HIGH_BITS, EVT2_LOW_BITS = 28, 6
EVT3_HIGH_BITS, EVT3_LOW_BITS = 12, 12
NOWHERE_PX = 65_535
"""A column outside every sensor, for EVT3 vectors that run far out of it."""


@dataclass(frozen=True)
class DecoderState:
    """The values set by the words decoded so far.

    Attributes:
        high: high bits of the time; -1 before the first one.
        loops: number of overflows of the high bits.
        low: low bits of the time (EVT3).
        y: row (EVT3).
        base_x: column of the first bit of the next vector (EVT3).
        base_p: polarity of vectors (EVT3).
    """

    high: int = -1
    loops: int = 0
    low: int = 0
    y: int = 0
    base_x: int = 0
    base_p: int = 0


Decoder = Callable[[np.ndarray, DecoderState], tuple[np.ndarray, DecoderState]]
"""Maps words [M] and the previous state to events [N] (EVENT_DTYPE, in file order) and a state."""


def decode_evt2(words: np.ndarray, state: DecoderState) -> tuple[np.ndarray, DecoderState]:
    """Decode words of 32 bits, one event each; a :data:`Decoder`.

    Types 0 (OFF) and 1 (ON), starting at the lowest bit: 11 bits y, 11 bits x, 6 bits time. Type 8:
    28 bits high time.
    """
    kinds = words >> 28
    mask = kinds == TIME_HIGH
    highs = _HighTimes.find(
        mask, (words[mask] & 0xFFF_FFFF).astype(np.int64), state, bits=EVT2_HIGH_BITS
    )
    at = np.flatnonzero(kinds <= 1)
    at = at[np.searchsorted(at, highs.first_timed(state)) :]
    found = words[at]
    times = highs.times(at, state, bits=EVT2_HIGH_BITS, low_bits=EVT2_LOW_BITS) | found >> 22 & 0x3F
    events = pack_events(times, found >> 11 & 0x7FF, found & 0x7FF, kinds[at])
    return events, DecoderState(*highs.last(state))


def decode_evt21(words: np.ndarray, state: DecoderState) -> tuple[np.ndarray, DecoderState]:
    """Decode words of 64 bits, up to 32 events of one row each; a :data:`Decoder`.

    Types 0 (OFF) and 1 (ON), starting at the lowest bit: 32 bits, one per pixel, that are set where
    there is an event; 11 bits y; 11 bits x of the first pixel; 6 bits time. Type 8: 32 unused bits,
    28 bits high time.
    """
    kinds = words >> 60
    mask = kinds == TIME_HIGH
    values = (words[mask] >> 32 & 0xFFF_FFFF).astype(np.int64)
    highs = _HighTimes.find(mask, values, state, bits=EVT2_HIGH_BITS)
    at = np.flatnonzero(kinds <= 1)
    at = at[np.searchsorted(at, highs.first_timed(state)) :]
    found = words[at]
    times = highs.times(at, state, bits=EVT2_HIGH_BITS, low_bits=EVT2_LOW_BITS)
    times |= (found >> 54 & 0x3F).astype(np.int64)
    valid = (found & 0xFFFF_FFFF).astype("<u4").view(np.uint8)
    bits = np.flatnonzero(np.unpackbits(valid, bitorder="little").view(np.bool_))
    word = bits >> 5
    x = (found >> 43 & 0x7FF).astype(np.int64)[word] + (bits & 31)
    y = (found >> 32 & 0x7FF)[word]
    return pack_events(times[word], x, y, kinds[at][word]), DecoderState(*highs.last(state))


def decode_evt3(words: np.ndarray, state: DecoderState) -> tuple[np.ndarray, DecoderState]:
    """Decode words of 16 bits; a :data:`Decoder`.

    A row is valid until the next one. A base sets column and polarity of the vectors after it. A
    vector has an event at column base + k for every bit k that is set, and advances the base by its
    12 or 8 bits. When the high time changes, the low time is 0 until it is set.
    """
    if len(words) == 0:
        return np.empty(0, EVENT_DTYPE), state
    kinds = words >> 12
    low_bits = (words & 0xFFF).astype(np.int64)
    mask = kinds == TIME_HIGH
    highs = _HighTimes.find(mask, low_bits[mask], state, bits=EVT3_HIGH_BITS)

    advance = np.where(kinds == EVT3_VECTOR_12, 12, 0) + np.where(kinds == EVT3_VECTOR_8, 8, 0)
    moved = np.cumsum(advance)
    is_event = (kinds == EVT3_SINGLE) | (advance > 0)
    at = np.append(np.flatnonzero(is_event), len(words) - 1)  # the last word gives the next state
    in_words = at[np.searchsorted(at[:-1], highs.first_timed(state)) :]

    row = kinds == EVT3_ROW
    y = _carried(row, low_bits[row] & 0x7FF, state.y, in_words)
    base = kinds == EVT3_BASE
    origin = _carried(base, (low_bits[base] & 0x7FF) - moved[base], state.base_x, in_words)
    base_p = _carried(base, low_bits[base] >> 11, state.base_p, in_words)
    low = kinds == EVT3_TIME_LOW
    reset = mask.copy()
    reset[mask] = highs.changed
    sets_low = low | reset
    low_us = _carried(sets_low, np.where(low, low_bits, 0)[sets_low], state.low, in_words)
    times = highs.times(in_words, state, bits=EVT3_HIGH_BITS, low_bits=EVT3_LOW_BITS) | low_us

    end_x = min(int(origin[-1] + moved[-1]), NOWHERE_PX)
    after = DecoderState(*highs.last(state), int(low_us[-1]), int(y[-1]), end_x, int(base_p[-1]))

    of_events = in_words[:-1]
    single = kinds[of_events] == EVT3_SINGLE
    stored = low_bits[of_events]
    valid = np.where(single, 1, np.where(kinds[of_events] == EVT3_VECTOR_8, stored & 0xFF, stored))
    first_x = np.where(single, stored & 0x7FF, origin[:-1] + moved[of_events] - advance[of_events])
    p = np.where(single, stored >> 11, base_p[:-1])
    stored_bits = np.unpackbits(valid.astype("<u2").view(np.uint8), bitorder="little")
    bits = np.flatnonzero(stored_bits.view(np.bool_))
    word = bits >> 4
    x = np.minimum(first_x[word] + (bits & 15), NOWHERE_PX)
    return pack_events(times[:-1][word], x, y[word], p[word]), after


DECODERS: dict[str, tuple[str, Decoder]] = {
    "EVT2": ("<u4", decode_evt2),
    "EVT21": ("<u8", decode_evt21),
    "EVT3": ("<u2", decode_evt3),
}
"""Type of the words and their decoder, by the name of the encoding in the header."""


HIGH_BITS = {
    "EVT2": (EVT2_HIGH_BITS, 0, EVT2_LOW_BITS),
    "EVT21": (EVT2_HIGH_BITS, 32, EVT2_LOW_BITS),
    "EVT3": (EVT3_HIGH_BITS, 0, EVT3_LOW_BITS),
}
"""Number of the high bits of the time, their lowest bit in a word, and the number of low bits."""


@dataclass(frozen=True)
class _HighTimes:
    """The words [M] that set the high bits of the time.

    Attributes:
        values: the high bits, one entry for each of the K words that set them.
        loops: number of overflows so far [K]; an overflow is a drop by half of the range or more.
        changed: whether the high bits differ from the previous ones [K].
        mask: which words set them [M].
    """

    values: npt.NDArray[np.int64]
    loops: npt.NDArray[np.int64]
    changed: npt.NDArray[np.bool_]
    mask: npt.NDArray[np.bool_]

    @classmethod
    def find(
        cls,
        mask: npt.NDArray[np.bool_],
        values: npt.NDArray[np.int64],
        state: DecoderState,
        *,
        bits: int,
    ) -> _HighTimes:
        """Build from the words in ``mask`` [M] that set the ``bits`` wide ``values`` [K]."""
        before = np.concatenate(([state.high], values))[:-1]
        loops = state.loops + np.cumsum(before - values >= 1 << bits - 1)
        return cls(values, loops, values != before, mask)

    def times(
        self, at: npt.NDArray[np.int64], state: DecoderState, *, bits: int, low_bits: int
    ) -> npt.NDArray[np.int64]:
        """Return the times [N] of the words ``at`` in µs, with low bits of 0; all must have one."""
        times = (self.loops << bits | self.values) << low_bits
        return _carried(
            self.mask, times, (state.loops << bits | max(state.high, 0)) << low_bits, at
        )

    def last(self, state: DecoderState) -> tuple[int, int]:
        """Return the high bits and the number of overflows after all words."""
        return (
            (int(self.values[-1]), int(self.loops[-1]))
            if len(self.values)
            else (state.high, state.loops)
        )

    def first_timed(self, state: DecoderState) -> int:
        """Return the number of the first word that has a time."""
        if state.high >= 0:
            return 0
        return int(self.mask.argmax()) if len(self.values) else len(self.mask)


def _carried(
    mask: npt.NDArray[np.bool_],
    values: npt.NDArray[np.int64],
    before: int,
    at: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Return the most recently set value at each of the words ``at`` [N].

    Args:
        mask: which words set the value [M].
        values: the values that they set, [K] for K words in ``mask``.
        before: the value before the first of them.
        at: numbers of words.
    """
    return np.concatenate(([before], values))[np.cumsum(mask)[at]]
