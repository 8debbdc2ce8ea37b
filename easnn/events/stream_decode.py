"""Decoding of EVT2, EVT2.1, EVT3 and DAT bytes that arrive in pieces.

The state is carried from piece to piece, so that the pieces may be cut anywhere. Times are
unwrapped by the rules of :mod:`easnn.events.evt_decode` and :mod:`easnn.events.dat_clock`, but are
those of the stream as it comes: late events are not moved, and a damaged clock is not recognised.
"""

from __future__ import annotations

import re
from typing import Protocol

import numpy as np

from easnn.events.dat import (
    EVENT_BYTES,
    MAX_HEADER_BYTES,
    RECORD_DTYPE,
    XY_BITS,
    parse_dat_header,
    unpack_words,
)
from easnn.events.dat_clock import LATE_RISE_US, PERIOD_US, WRAP_FALL_US
from easnn.events.dtypes import EVENT_DTYPE
from easnn.events.evt_blocks import block_decoder
from easnn.events.evt_decode import DECODERS, DecoderState
from easnn.events.evt_raw import end_of_lines, is_raw, parse_raw_header
from easnn.utils.errors import DataError

_PART_OF_A_LINE = re.compile(rb"%[\t\x20-\xff]*\r?")


class _Words(Protocol):
    """Decodes whole words.

    Attributes:
        size: bytes of a word.
    """

    size: int

    def decode(self, data: bytes) -> np.ndarray:
        """Return the events of bytes that are whole words."""
        ...


class StreamDecoder:
    """Decodes the bytes of one stream, piece by piece.

    Args:
        name: name of the stream, for errors.
        encoding: EVT2, EVT21, EVT3 or DAT: the stream is words without a header. None: it begins
            with the header of a RAW or DAT file, which says the encoding.

    Attributes:
        sensor_hw: height and width of the sensor in pixels as the header says; None if it has not
            come, or does not say.
    """

    def __init__(self, name: str, encoding: str | None = None) -> None:
        self.sensor_hw: tuple[int, int] | None = None
        self._name = name
        self._rest = b""
        self._words: _Words | None = None
        if encoding == "DAT":
            self._words = _DatWords(XY_BITS[2])
        elif encoding is not None:
            self._words = _EvtWords(encoding)

    def decode(self, data: bytes) -> np.ndarray:
        """Return the events [N] (EVENT_DTYPE) of the bytes after those of the last call.

        Raises:
            DataError: if the stream does not begin with a header that is understood.
        """
        data = self._rest + data
        if self._words is None:
            if not _header_is_whole(data):
                self._rest = data
                return np.empty(0, EVENT_DTYPE)
            data = self._begin(data)
        assert self._words is not None
        whole = len(data) // self._words.size * self._words.size
        self._rest = data[whole:]
        return self._words.decode(data[:whole])

    def cut_off(self) -> int:
        """Discard the beginning of a word whose rest will not come; return how many bytes it has.

        A header that has not come completely is kept.
        """
        if self._words is None:
            return 0
        size, self._rest = len(self._rest), b""
        return size

    def finish(self) -> int:
        """Return how many bytes at the end of the stream are no whole word.

        Raises:
            DataError: if the stream ended within its header, or sent nothing.
        """
        if self._words is None:
            raise DataError(
                f"{self._name} ended after {len(self._rest)} bytes, before its header was complete."
            )
        return self.cut_off()

    def _begin(self, data: bytes) -> bytes:
        """Parse the header and return the bytes after it."""
        head = data[:MAX_HEADER_BYTES]
        if not end_of_lines(head):
            raise DataError(
                f"{self._name} must begin with the header of a RAW or DAT file, but its first "
                f"bytes are {head[:8].hex(' ')}. Give --format if it sends words without a header."
            )
        if is_raw(head):
            header = parse_raw_header(head, self._name)
            self.sensor_hw = header.sensor_hw
            self._words = _EvtWords(header.encoding, swapped=header.swapped)
            return data[header.size :]
        of_dat = parse_dat_header(head, self._name)
        self.sensor_hw = of_dat.sensor_hw
        self._words = _DatWords(XY_BITS[of_dat.version])
        return data[of_dat.size :]


def _header_is_whole(head: bytes) -> bool:
    """Return whether bytes that begin a stream hold its whole header, if it has one."""
    if len(head) >= MAX_HEADER_BYTES:
        return True
    lines = end_of_lines(head)
    rest = head[lines:]
    if is_raw(head) and head[:lines].splitlines()[-1].strip(b"% ") == b"end":
        return True
    if not rest or _PART_OF_A_LINE.fullmatch(rest):
        return False
    return lines == 0 or is_raw(head) or len(rest) >= 2  # type and size of DAT events


class _EvtWords:
    """Words of EVT2, EVT2.1 or EVT3."""

    def __init__(self, encoding: str, *, swapped: bool = False) -> None:
        self._dtype = np.dtype(DECODERS[encoding][0])
        self.size = self._dtype.itemsize
        self._decoder = block_decoder(encoding)
        self._swapped = swapped and encoding == "EVT21"
        self._state = DecoderState()

    def decode(self, data: bytes) -> np.ndarray:
        words = np.frombuffer(data, self._dtype)
        if self._swapped:
            words = words << 32 | words >> 32
        events, self._state = self._decoder.decode(words, self._state)
        return events


class _DatWords:
    """Records of DAT, whose counter wraps; see :mod:`easnn.events.dat_clock`."""

    size = EVENT_BYTES

    def __init__(self, xy_bits: tuple[int, int]) -> None:
        self._xy_bits = xy_bits
        self._before: int | None = None
        self._wraps = 0

    def decode(self, data: bytes) -> np.ndarray:
        records = np.frombuffer(data, RECORD_DTYPE)
        events = np.empty(len(records), EVENT_DTYPE)
        if len(records) == 0:
            return events
        counter = records["counter"].astype(np.int64)
        rises = np.diff(counter, prepend=counter[0] if self._before is None else self._before)
        steps = (rises < -WRAP_FALL_US).astype(np.int64) - (rises >= LATE_RISE_US)
        wraps = self._wraps + np.cumsum(steps)
        wraps -= np.minimum.accumulate(np.minimum(wraps, 0))  # before the first one, none is late
        self._before, self._wraps = int(counter[-1]), int(wraps[-1])
        events["t_us"] = counter + PERIOD_US * wraps
        unpack_words(records["word"], self._xy_bits, events)
        return events
