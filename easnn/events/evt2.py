"""The encodings EVT2 (words of 32 bits, one event each) and EVT2.1 (64 bits, up to 32 events in a row).

The four highest bits are the type: 0 OFF, 1 ON, 8 the high 28 bits of the time; every other word is no event.
"""

from __future__ import annotations

import numpy as np

from easnn.events.evt import DecoderState, Highs
from easnn.events.types import pack_events

TIME_HIGH = 8
HIGH_BITS = 28
LOW_BITS = 6


def decode_evt2(words: np.ndarray, state: DecoderState) -> tuple[np.ndarray, DecoderState]:
    """Decode words of 32 bits; see :data:`easnn.events.evt.Decoder`.

    From the lowest bit: 11 bits y, 11 bits x, 6 bits time; or 28 bits of the high time.
    """
    kinds = words >> 28
    mask = kinds == TIME_HIGH
    highs = Highs.find(mask, (words[mask] & 0xFFF_FFFF).astype(np.int64), state, bits=HIGH_BITS)
    at = np.flatnonzero(kinds <= 1)
    at = at[np.searchsorted(at, highs.first_timed(state)) :]
    found = words[at]
    times = highs.times(at, state, bits=HIGH_BITS, low_bits=LOW_BITS) | found >> 22 & 0x3F
    high, loops = highs.last(state)
    events = pack_events(times, found >> 11 & 0x7FF, found & 0x7FF, kinds[at])
    return events, DecoderState(high, loops)


def decode_evt21(words: np.ndarray, state: DecoderState) -> tuple[np.ndarray, DecoderState]:
    """Decode words of 64 bits; see :data:`easnn.events.evt.Decoder`.

    From the lowest bit: 32 bits that are set where there is an event, 11 bits y, 11 bits x of the lowest of
    them, 6 bits time; or 32 unused bits and 28 bits of the high time.
    """
    kinds = words >> 60
    mask = kinds == TIME_HIGH
    highs = Highs.find(mask, (words[mask] >> 32 & 0xFFF_FFFF).astype(np.int64), state, bits=HIGH_BITS)
    at = np.flatnonzero(kinds <= 1)
    at = at[np.searchsorted(at, highs.first_timed(state)) :]
    found = words[at]
    times = highs.times(at, state, bits=HIGH_BITS, low_bits=LOW_BITS) | (found >> 54 & 0x3F).astype(np.int64)
    valid = (found & 0xFFFF_FFFF).astype("<u4").view(np.uint8)
    bits = np.flatnonzero(np.unpackbits(valid, bitorder="little").view(np.bool_))
    row = bits >> 5
    x = (found >> 43 & 0x7FF).astype(np.int64)[row] + (bits & 31)
    y = (found >> 32 & 0x7FF)[row]
    high, loops = highs.last(state)
    return pack_events(times[row], x, y, kinds[at][row]), DecoderState(high, loops)
