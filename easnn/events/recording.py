"""Any recording, whatever its format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from easnn.events.aedat4 import open_aedat4
from easnn.events.dat import UNUSED_BITS_FROM, open_dat
from easnn.events.five_byte import EVENT_BYTES, decode_five_byte, open_five_byte
from easnn.events.hdf5 import open_hdf5
from easnn.events.mapping import map_file
from easnn.events.npz import open_npz
from easnn.events.order import LATE_US
from easnn.events.raw import open_raw
from easnn.events.raw_header import MAX_HEADER_BYTES, is_raw
from easnn.events.types import StoredRecording
from easnn.utils.errors import DataError

Opener = Callable[..., StoredRecording]

SIGNATURES: tuple[tuple[bytes, Opener], ...] = (
    (b"\x89HDF\r\n\x1a\n", open_hdf5),
    (b"PK\x03\x04", open_npz),
    (b"#!AER-DAT4", open_aedat4),
)
"""First bytes of a format, and what opens it."""

PROBED_EVENTS = 1000


def open_recording(path: Path | str, *, sensor_hw: tuple[int, int] | None = None) -> StoredRecording:
    """Open a recording in any format: DAT, RAW (EVT2, EVT2.1, EVT3), HDF5, AEDAT4, 5-byte events, npz.

    The format is told from what is in the file, not from its name.

    Args:
        path: the file.
        sensor_hw: height and width of the sensor in pixels, instead of what the file says. Every event that
            is read must lie inside; if neither says it, coordinates are not checked.

    Raises:
        DataError: if the file is missing, damaged or in none of these formats; if it is a RAW file and
            neither it nor ``sensor_hw`` tells the size of the sensor.
    """
    path = Path(path)
    return _opener(path)(path, sensor_hw=sensor_hw)


def _opener(path: Path) -> Opener:
    with map_file(path) as data:
        head = data[:MAX_HEADER_BYTES]
        size = len(data)
    if is_raw(head):
        return open_raw
    for signature, opener in SIGNATURES:
        if head.startswith(signature):
            return opener
    if head.startswith(b"%") or _is_bare_dat(head, size):
        return open_dat
    if _is_five_byte(head, size):
        return open_five_byte
    raise DataError(
        f"{path} is no recording that can be read: its first bytes are those of no DAT, RAW, HDF5, AEDAT4, "
        "npz or 5-byte file. It may be damaged, or in another format."
    )


def _is_bare_dat(head: bytes, size: int) -> bool:
    """Return whether this may be a DAT file without a header, by unused bits and times in order."""
    if size % 8:
        return False
    stored = np.frombuffer(head[: len(head) // 8 * 8], "<u4").reshape(-1, 2)[:PROBED_EVENTS]
    return not (stored[:, 1] >> UNUSED_BITS_FROM).any() and _in_order(stored[:, 0].astype(np.int64))


def _is_five_byte(head: bytes, size: int) -> bool:
    if size % EVENT_BYTES:
        return False
    whole = len(head) // EVENT_BYTES * EVENT_BYTES
    stored = np.frombuffer(head[:whole], np.uint8).reshape(-1, EVENT_BYTES)[:PROBED_EVENTS]
    return _in_order(decode_five_byte(stored)["t_us"])


def _in_order(times: np.ndarray) -> bool:
    return bool((np.maximum.accumulate(times) - times <= LATE_US).all())
