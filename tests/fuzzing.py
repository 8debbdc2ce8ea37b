"""Damage to files, from a seeded generator."""

from __future__ import annotations

import numpy as np

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF)
WORDS = (
    *(b"../", b"..\\..\\", b"/", b"\0", b"\n", b"\r\n", b" ", b",", b'"', b"'", b"\xef\xbb\xbf"),
    *(b"-1", b"0", b"1e999", b"nan", b"inf", b"true", b"None", b"999999999999999999999", b"0.5"),
    *(b"9" * 5000, b"[" * 3000, b"{" * 3000, b"a" * 300, b"\xff\xfe", b"\xed\xa0\x80"),
)
"""Text that parsers may stumble over."""


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Return ``content`` with bytes changed, inserted, removed, repeated or truncated."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        if not data:
            break
        reach = len(data) if rng.random() < 0.5 else min(len(data), 512)
        start = int(rng.integers(reach))
        stop = start + int(rng.choice([1, 2, 4, 8, 64]))
        match rng.integers(8):
            case 0:
                data[start] = int(rng.integers(256))
            case 1:
                data[start] ^= 1 << int(rng.integers(8))
            case 2:
                data[start:stop] = bytes([int(rng.choice(EXTREMES))]) * (stop - start)
            case 3:
                del data[start:stop]
            case 4:
                data[start:start] = data[start:stop]
            case 5:
                data[start:stop] = rng.integers(0, 256, stop - start, dtype=np.uint8).tobytes()
            case 6:
                if rng.random() < 0.3:
                    del data[start:]
            case 7:
                data[start:start] = WORDS[rng.integers(len(WORDS))]
    return bytes(data)
