"""RAW files made by hand: encoders, and decoders that go through the words one by one."""

from __future__ import annotations

import numpy as np

NEW_HEADER = "% format {};height=720;width=1280\n% end\n"


def encode_evt2(events: np.ndarray) -> np.ndarray:
    words, high = [], None
    for t, x, y, p in events.tolist():
        if t >> 6 != high:
            high = t >> 6
            words.append(8 << 28 | high & 0xFFF_FFFF)
        words.append(p << 28 | (t & 0x3F) << 22 | x << 11 | y)
    return np.array(words, "<u4")


def encode_evt21(events: np.ndarray) -> np.ndarray:
    words, high = [], None
    for t, x, y, p in events.tolist():
        if t >> 6 != high:
            high = t >> 6
            words.append(8 << 60 | high << 32)
        words.append(p << 60 | (t & 0x3F) << 54 | x << 43 | y << 32 | 1)
    return np.array(words, "<u8")


def encode_evt3(events: np.ndarray) -> np.ndarray:
    """Single events, a new word only where something changes."""
    words, high, low, row = [], None, 0, None
    for t, x, y, p in events.tolist():
        if t >> 12 != high:
            high, low = t >> 12, 0
            words.append(8 << 12 | high & 0xFFF)
        if t & 0xFFF != low:
            low = t & 0xFFF
            words.append(6 << 12 | low)
        if y != row:
            row = y
            words.append(y)
        words.append(2 << 12 | p << 11 | x)
    return np.array(words, "<u2")


def loop_evt2(words: np.ndarray) -> list[tuple[int, int, int, int]]:
    events, high, loops = [], None, 0
    for word in words.tolist():
        kind = word >> 28
        if kind == 8:
            new = word & 0xFFF_FFFF
            if high is not None and high - new >= 1 << 27:
                loops += 1
            high = new
        elif kind <= 1 and high is not None:
            t = (loops << 34) + (high << 6) + (word >> 22 & 0x3F)
            events.append((t, word >> 11 & 0x7FF, word & 0x7FF, kind))
    return events


def loop_evt21(words: np.ndarray) -> list[tuple[int, int, int, int]]:
    events, high, loops = [], None, 0
    for word in words.tolist():
        kind = word >> 60
        if kind == 8:
            new = word >> 32 & 0xFFF_FFFF
            if high is not None and high - new >= 1 << 27:
                loops += 1
            high = new
        elif kind <= 1 and high is not None:
            t = (loops << 34) + (high << 6) + (word >> 54 & 0x3F)
            x, y = word >> 43 & 0x7FF, word >> 32 & 0x7FF
            events += [(t, x + bit, y, kind) for bit in range(32) if word >> bit & 1]
    return events


def loop_evt3(words: np.ndarray) -> list[tuple[int, int, int, int]]:
    events, high, low, loops, row, base, polarity = [], None, 0, 0, 0, 0, 0
    for word in words.tolist():
        kind, value = word >> 12, word & 0xFFF
        time = None if high is None else (loops << 24) + (high << 12) + low
        if kind == 0:
            row = value & 0x7FF
        elif kind == 2 and time is not None:
            events.append((time, value & 0x7FF, row, value >> 11))
        elif kind == 3:
            base, polarity = value & 0x7FF, value >> 11
        elif kind in (4, 5):
            length = 12 if kind == 4 else 8
            if time is not None:
                events += [
                    (time, base + bit, row, polarity) for bit in range(length) if value >> bit & 1
                ]
            base += length
        elif kind == 6:
            low = value
        elif kind == 8:
            if high is not None and high >= value + 2048:
                loops += 1
            if high != value:
                low = 0
            high = value
    return events
