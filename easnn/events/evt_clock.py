"""Damaged high times of RAW files, which would look like overflows of the camera's clock.

The clock overflows if TIME_HIGH falls by half of its range or more. If it has risen by as much
right before, or rises by as much right after, one of the three values is damaged: a true overflow
is approached step by step, because cameras send TIME_HIGH all the time, also without events.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from easnn.events.evt_decode import HIGH_BITS, TIME_HIGH, DecoderState
from easnn.utils.errors import DataError


class HighTimeCheck:
    """Checks the words of a file from its beginning, block by block.

    Args:
        path: the file, for errors.
        encoding: a key of DECODERS.
    """

    def __init__(self, path: Path, encoding: str) -> None:
        self._path = path
        self._bits, self._value_at, self._low_bits = HIGH_BITS[encoding]
        self._half = 1 << self._bits - 1
        self._before = np.empty(0, np.int64)  # the last one or two different high times

    def check(
        self, words: np.ndarray, before: DecoderState, after: DecoderState, first: int
    ) -> None:
        """Check a block of words [M] that directly follows the block of the last call.

        Only a block in which the clock overflows, or rises by half of its range or more, is read:
        a high time that jumps is in one of these.

        Args:
            words: the words.
            before: the state before them.
            after: the state after them.
            first: number of the first word.

        Raises:
            DataError: naming the word after which a high time is damaged.
        """
        if after.loops == before.loops and after.high - max(before.high, 0) < self._half:
            if after.high != before.high:
                self._before = np.array([after.high])
            return
        at = np.flatnonzero(words >> words.dtype.itemsize * 8 - 4 == TIME_HIGH)
        values = (words[at] >> self._value_at & (1 << self._bits) - 1).astype(np.int64)
        highs = np.concatenate((self._before, values))
        changes = np.append(0, 1 + np.flatnonzero(np.diff(highs)))
        highs = highs[changes]
        rises = np.diff(highs)
        far = (rises >= self._half).astype(np.int64) - (rises <= -self._half)
        damaged = np.flatnonzero(far[:-1] * far[1:] < 0)
        if len(damaged):
            index = int(damaged[0])
            word = first + int(at[changes[index + 2] - len(self._before)])
            times_us = [high << self._low_bits for high in highs[index : index + 3].tolist()]
            raise DataError(
                f"The clock of {self._path} must not jump by half of its range "
                f"({self._half << self._low_bits} µs) or more and back, but TIME_HIGH is "
                f"{times_us[0]}, then {times_us[1]}, then {times_us[2]} µs at word {word}. One of "
                "these words is damaged. Copy the file again."
            )
        self._before = highs[-2:]
