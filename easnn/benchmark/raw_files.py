"""Recordings of a large, busy camera, in all formats that are decoded natively."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from easnn.events import pack_events, write_dat
from easnn.utils.files import atomic_write
from easnn.utils.seeding import generator

SENSOR_HW = (720, 1280)

BURSTS_PER_US = 4
"""With about 5 events each, the camera sends 20 million events per second."""

BLOCK_PX = 32
"""Width of the pixels of a burst: as many as a word of EVT2.1 describes."""

HEADER = "% format {};height=720;width=1280\n% end\n"

Words = npt.NDArray[np.unsignedinteger]


class Bursts(NamedTuple):
    """Events of the same time and polarity in a row of 32 pixels, sorted by time, row and column.

    Attributes:
        t_us: times ``[N]``; so are the others.
        y: rows.
        x: columns of the first pixel, multiples of 32.
        p: polarities.
        pixels: a bit for each pixel, beginning with the lowest one; at least one is set.
    """

    t_us: npt.NDArray[np.int64]
    y: npt.NDArray[np.int64]
    x: npt.NDArray[np.int64]
    p: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.uint32]

    def events(self) -> np.ndarray:
        """Return the events (EVENT_DTYPE) in the order in which all encodings send them."""
        bits = np.unpackbits(self.pixels.astype("<u4").view(np.uint8), bitorder="little")
        at = np.flatnonzero(bits)
        burst = at // BLOCK_PX
        x = self.x[burst] + at % BLOCK_PX
        return pack_events(self.t_us[burst], x, self.y[burst], self.p[burst])


def camera_bursts(count: int) -> Bursts:
    """Return bursts, half of them single events and half with a quarter of their pixels."""
    rng = generator(6, "bursts")
    height, width = SENSOR_HW
    t_us = rng.integers(0, -(-count // BURSTS_PER_US), count)
    y, x = rng.integers(0, height, count), BLOCK_PX * rng.integers(0, width // BLOCK_PX, count)
    one = np.uint32(1) << rng.integers(0, BLOCK_PX, count, np.uint32)
    quarter = rng.integers(0, 2**32, count, np.uint32) & rng.integers(0, 2**32, count, np.uint32)
    pixels = np.where(rng.random(count) < 0.5, one, one | quarter)
    order = np.lexsort((x, y, t_us))
    return Bursts(t_us[order], y[order], x[order], rng.integers(0, 2, count), pixels)


def evt2_words(bursts: Bursts) -> Words:
    """Return words of 32 bits: one for each event, and one for each new high time."""
    events = bursts.events()
    t_us, x, y, p = (events[name].astype(np.uint32) for name in ("t_us", "x", "y", "p"))
    high = t_us >> 6
    return _sent(
        [8 << 28 | high, p << 28 | (t_us & 0x3F) << 22 | x << 11 | y],
        [_changes(high), np.full(len(high), True)],
        "<u4",
    )


def evt21_words(bursts: Bursts) -> Words:
    """Return words of 64 bits: one for each burst, and one for each new high time."""
    t_us, y, x, p = (np.asarray(column, np.uint64) for column in bursts[:4])
    high = t_us >> np.uint64(6)
    low = (p << np.uint64(60)) | (t_us & np.uint64(0x3F)) << np.uint64(54)
    place = x << np.uint64(43) | y << np.uint64(32)
    return _sent(
        [np.uint64(8 << 60) | high << np.uint64(32), low | place | bursts.pixels],
        [_changes(high), np.full(len(high), True)],
        "<u8",
    )


def evt3_words(bursts: Bursts) -> Words:
    """Return words of 16 bits: times and rows where they change, single events, and vectors."""
    t_us, y, x, p = bursts[:4]
    pixels = bursts.pixels.astype(np.int64)
    lowest = np.log2(pixels & -pixels).astype(np.int64)  # exact for powers of two
    single = pixels == 1 << lowest
    candidates = [
        (8 << 12 | t_us >> 12 & 0xFFF, _changes(t_us >> 12)),
        (6 << 12 | t_us & 0xFFF, _changes(t_us)),
        (y, _changes(y)),
        (2 << 12 | p << 11 | x + lowest, single),
        (3 << 12 | p << 11 | x, ~single),
        (4 << 12 | pixels & 0xFFF, ~single),
        (4 << 12 | pixels >> 12 & 0xFFF, ~single),
        (5 << 12 | pixels >> 24, ~single),
    ]
    return _sent([words for words, _ in candidates], [sent for _, sent in candidates], "<u2")


def write_camera_files(folder: Path, bursts: Bursts) -> dict[str, Path]:
    """Write the events in each format and return the files by the name of the format.

    Raises:
        OutputError: if they cannot be written.
    """
    paths = {"DAT": folder / "camera_td.dat"}
    write_dat(paths["DAT"], bursts.events(), sensor_hw=SENSOR_HW)
    for name, encoding, words in (
        ("EVT2", "EVT2", evt2_words),
        ("EVT2.1", "EVT21", evt21_words),
        ("EVT3", "EVT3", evt3_words),
    ):
        paths[name] = folder / f"camera_{encoding.lower()}.raw"
        with atomic_write(paths[name]) as file:
            file.write(HEADER.format(encoding).encode())
            file.write(words(bursts).tobytes())
    return paths


def _changes(values: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Return where a value differs from the one before it; the first one does."""
    return np.concatenate(([True], values[1:] != values[:-1]))


def _sent(
    words: list[npt.NDArray[np.integer]], sent: list[npt.NDArray[np.bool_]], dtype: str
) -> Words:
    """Return the words that are sent, burst by burst.

    Args:
        words: of each type of word, one per burst ``[N]``.
        sent: which of them are sent ``[N]``.
        dtype: of the result.
    """
    return np.stack(words, axis=1).astype(dtype)[np.stack(sent, axis=1)]
