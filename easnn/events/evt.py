"""What the encodings of Prophesee's RAW files have in common.

A file is a sequence of words. Most say something about the words that follow (the high bits of their time,
their row), so decoding needs what the words before have said: a :class:`DecoderState`. With it a file can be
decoded piece by piece, and a piece without those before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Decoder = Callable[[np.ndarray, "DecoderState"], tuple[np.ndarray, "DecoderState"]]
"""From words [M] and what came before them to their events [N] (EVENT_DTYPE, in the file's order) and what
comes before the next words."""


@dataclass(frozen=True)
class DecoderState:
    """What the words before have said.

    Attributes:
        high: the last high bits of a time, -1 if there were none: then events have no time and are dropped.
        loops: how often the high bits overflowed.
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


@dataclass(frozen=True)
class Highs:
    """The high bits of the times in some words.

    Attributes:
        values: the bits [K], one per word that sets them.
        loops: how often they had overflowed [K]: they fell by half of their range or more.
        changed: whether they differ from those before [K].
        mask: which words set them [M].
    """

    values: npt.NDArray[np.int64]
    loops: npt.NDArray[np.int64]
    changed: npt.NDArray[np.bool_]
    mask: npt.NDArray[np.bool_]

    @classmethod
    def find(
        cls, mask: npt.NDArray[np.bool_], values: npt.NDArray[np.int64], state: DecoderState, *, bits: int
    ) -> Highs:
        """Return the high bits ``values`` [K] of the words in ``mask`` [M], which are ``bits`` wide."""
        before = np.concatenate(([state.high], values))[:-1]
        loops = state.loops + np.cumsum(before - values >= 1 << bits - 1)
        return cls(values, loops, values != before, mask)

    def times(
        self, at: npt.NDArray[np.int64], state: DecoderState, *, bits: int, low_bits: int
    ) -> np.ndarray:
        """Return the time of the words ``at`` [N] in µs without its low bits [N]; no word may be untimed."""
        times = (self.loops << bits | self.values) << low_bits
        return carried(self.mask, times, (state.loops << bits | max(state.high, 0)) << low_bits, at)

    def last(self, state: DecoderState) -> tuple[int, int]:
        """Return the high bits and the overflows after all words."""
        return (int(self.values[-1]), int(self.loops[-1])) if len(self.values) else (state.high, state.loops)

    def first_timed(self, state: DecoderState) -> int:
        """Return the number of the first word that has a time."""
        if state.high >= 0:
            return 0
        return int(self.mask.argmax()) if len(self.values) else len(self.mask)


def carried(
    mask: npt.NDArray[np.bool_], values: npt.NDArray[np.int64], before: int, at: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return for each word in ``at`` [N] the last value that was set up to it.

    Args:
        mask: which words set the value [M].
        values: what they set it to, [K] for K words in ``mask``.
        before: what it is before the first of them.
        at: numbers of words.
    """
    return np.concatenate(([before], values))[np.cumsum(mask)[at]]
