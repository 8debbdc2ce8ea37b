"""Decoding of blocks of EVT2, EVT2.1 and EVT3 words, with NumPy or with native functions.

Both give the same events, states and surveys for all words.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple, Protocol

import numpy as np

from easnn.events import native_calls
from easnn.events.checks import running_maximum
from easnn.events.dtypes import EVENT_DTYPE
from easnn.events.evt_decode import DECODERS, DecoderState

_NUMBERS = {"EVT2": 2, "EVT21": 21, "EVT3": 3}


class Survey(NamedTuple):
    """What the words of a block contain.

    Attributes:
        num_events: their number.
        first_us: time of the first event; 0 if there is none.
        latest_us: largest time up to here.
        late_events: number of events after one with a larger time.
        late_us: by how much the latest of them is late.
        state: state after the words.
    """

    num_events: int
    first_us: int
    latest_us: int
    late_events: int
    late_us: int
    state: DecoderState


class BlockDecoder(Protocol):
    """Decodes words [M] of one encoding, given the state before them."""

    def decode(self, words: np.ndarray, state: DecoderState) -> tuple[np.ndarray, DecoderState]:
        """Return events and the next state; a :data:`~easnn.events.evt_decode.Decoder`."""
        ...

    def decode_into(self, words: np.ndarray, state: DecoderState, events: np.ndarray) -> int:
        """Write to ``events`` [N] (EVENT_DTYPE, contiguous) what fits; return the number of all."""
        ...

    def survey(self, words: np.ndarray, state: DecoderState, latest_us: int) -> Survey:
        """Return what the words contain, if ``latest_us`` is the largest time before them."""
        ...


class NumpyDecoder:
    """The :class:`BlockDecoder` of an encoding that uses NumPy."""

    def __init__(self, encoding: str) -> None:
        self._decode = DECODERS[encoding][1]

    def decode(self, words: np.ndarray, state: DecoderState) -> tuple[np.ndarray, DecoderState]:
        """See :class:`BlockDecoder`."""
        return self._decode(words, state)

    def decode_into(self, words: np.ndarray, state: DecoderState, events: np.ndarray) -> int:
        """See :class:`BlockDecoder`."""
        found, _ = self._decode(words, state)
        fitting = min(len(found), len(events))
        events[:fitting] = found[:fitting]
        return len(found)

    def survey(self, words: np.ndarray, state: DecoderState, latest_us: int) -> Survey:
        """See :class:`BlockDecoder`."""
        events, after = self._decode(words, state)
        if len(events) == 0:
            return Survey(0, 0, latest_us, 0, 0, after)
        t_us = events["t_us"]
        latest = running_maximum(t_us, latest_us)
        late_us = latest - t_us
        return Survey(
            len(events),
            int(t_us[0]),
            int(latest[-1]),
            int(np.count_nonzero(t_us < latest)),
            max(0, int(late_us.max())),
            after,
        )


class NativeDecoder:
    """The :class:`BlockDecoder` of an encoding that uses native functions."""

    def __init__(self, encoding: str, library: ctypes.CDLL) -> None:
        self._dtype = np.dtype(DECODERS[encoding][0])
        self._number = _NUMBERS[encoding]
        self._library = library

    def decode(self, words: np.ndarray, state: DecoderState) -> tuple[np.ndarray, DecoderState]:
        """See :class:`BlockDecoder`."""
        found = self.survey(words, state, 0)
        events = np.empty(found.num_events, EVENT_DTYPE)
        self.decode_into(words, state, events)
        return events, found.state

    def decode_into(self, words: np.ndarray, state: DecoderState, events: np.ndarray) -> int:
        """See :class:`BlockDecoder`."""
        assert native_calls.is_packed(events)
        return native_calls.decode_evt(
            self._library, self._number, self._stored(words), _values(state), events
        )

    def survey(self, words: np.ndarray, state: DecoderState, latest_us: int) -> Survey:
        """See :class:`BlockDecoder`."""
        values = _values(state)
        num_events, first_us, latest_us, late_events, late_us = native_calls.survey_evt(
            self._library, self._number, self._stored(words), values, latest_us
        )
        high, loops, *carried = values.tolist()
        after = DecoderState(high, loops, *(carried if self._number == _NUMBERS["EVT3"] else ()))
        return Survey(num_events, first_us, latest_us, late_events, late_us, after)

    def _stored(self, words: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(words, self._dtype)


def block_decoder(encoding: str) -> BlockDecoder:
    """Return the fastest decoder of an encoding, a key of DECODERS, on this machine."""
    library = native_calls.library()
    return NumpyDecoder(encoding) if library is None else NativeDecoder(encoding, library)


def _values(state: DecoderState) -> np.ndarray:
    return np.array(
        (state.high, state.loops, state.low, state.y, state.base_x, state.base_p), np.int64
    )
