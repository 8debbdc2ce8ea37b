"""The encoding EVT3: words of 16 bits whose four highest bits are their type."""

from __future__ import annotations

import numpy as np

from easnn.events.evt import DecoderState, Highs, carried
from easnn.events.types import pack_events

ROW, SINGLE, BASE, VECTOR_12, VECTOR_8, TIME_LOW, TIME_HIGH = 0, 2, 3, 4, 5, 6, 8
HIGH_BITS = 12
LOW_BITS = 12
NOWHERE_PX = 65_535
"""A column outside every sensor, for vectors that run far out of it."""


def decode_evt3(words: np.ndarray, state: DecoderState) -> tuple[np.ndarray, DecoderState]:
    """Decode words of 16 bits; see :data:`easnn.events.evt.Decoder`.

    A row holds until the next one. A base sets column and polarity of the vectors that follow; each has an
    event at the base plus k for every bit k that is set, and moves the base by its 12 or 8 bits. The low time
    is 0 after a change of the high time until it is set. Words of other types (triggers, user data) are
    skipped.
    """
    kinds = words >> 12
    low_bits = (words & 0xFFF).astype(np.int64)
    mask = kinds == TIME_HIGH
    highs = Highs.find(mask, low_bits[mask], state, bits=HIGH_BITS)

    advance = np.where(kinds == VECTOR_12, 12, 0) + np.where(kinds == VECTOR_8, 8, 0)
    moved = np.cumsum(advance)
    is_event = (kinds == SINGLE) | (advance > 0)
    at = np.append(np.flatnonzero(is_event), len(words) - 1)  # the last word tells what to carry on
    in_words = at[np.searchsorted(at[:-1], highs.first_timed(state)) :]

    row = kinds == ROW
    y = carried(row, low_bits[row] & 0x7FF, state.y, in_words)
    base = kinds == BASE
    origin = carried(base, (low_bits[base] & 0x7FF) - moved[base], state.base_x, in_words)
    base_p = carried(base, low_bits[base] >> 11, state.base_p, in_words)
    low = kinds == TIME_LOW
    reset = mask.copy()
    reset[mask] = highs.changed
    sets_low = low | reset
    low_us = carried(sets_low, np.where(low, low_bits, 0)[sets_low], state.low, in_words)
    times = highs.times(in_words, state, bits=HIGH_BITS, low_bits=LOW_BITS) | low_us

    high, loops = highs.last(state)
    end_x = min(int(origin[-1] + moved[-1]), NOWHERE_PX)
    after = DecoderState(high, loops, int(low_us[-1]), int(y[-1]), end_x, int(base_p[-1]))

    of_events = in_words[:-1]
    single = kinds[of_events] == SINGLE
    stored = low_bits[of_events]
    valid = np.where(single, 1, np.where(kinds[of_events] == VECTOR_8, stored & 0xFF, stored))
    first_x = np.where(single, stored & 0x7FF, origin[:-1] + moved[of_events] - advance[of_events])
    p = np.where(single, stored >> 11, base_p[:-1])
    stored_bits = np.unpackbits(valid.astype("<u2").view(np.uint8), bitorder="little")
    bits = np.flatnonzero(stored_bits.view(np.bool_))
    word = bits >> 4
    x = np.minimum(first_x[word] + (bits & 15), NOWHERE_PX)
    return pack_events(times[:-1][word], x, y[word], p[word]), after
