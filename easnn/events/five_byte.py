"""Events of 5 bytes, without a header: N-MNIST and N-Caltech101.

Bytes: x, y, then 24 bits from the highest down: polarity, 23 bits of time in µs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from easnn.events.loaded import LoadedRecording
from easnn.events.mapping import map_file
from easnn.events.order import check_writable
from easnn.events.types import EVENT_DTYPE
from easnn.utils.errors import DataError
from easnn.utils.files import atomic_write

EVENT_BYTES = 5
TIME_BITS = 23
LIMIT_HW = (256, 256)


def open_five_byte(path: Path | str, *, sensor_hw: tuple[int, int] | None = None) -> LoadedRecording:
    """Open a file of 5-byte events; it is read as a whole (at most 8.4 s fit into the format).

    Args:
        path: the file.
        sensor_hw: height and width of the sensor in pixels, which the file does not tell. Every event that is
            read must lie inside; if it is None, coordinates are not checked.

    Raises:
        DataError: if the file is missing, empty or cut off, or if its times run backwards.
    """
    return LoadedRecording(Path(path), sensor_hw, _read)


def write_five_byte(path: Path | str, events: np.ndarray) -> None:
    """Write ``events`` (EVENT_DTYPE), sorted by time; :func:`open_five_byte` reads the same from the file.

    Raises:
        DataError: if the format cannot hold the events, naming the first one that is wrong.
        OutputError: if the file cannot be written.
    """
    path = Path(path)
    if len(events) == 0:
        raise DataError(f"{path} must get at least one event, but gets none.")
    check_writable(events, LIMIT_HW, path)
    if events["t_us"][-1] >= 1 << TIME_BITS:
        raise DataError(
            f"The last event of {path} must come before 2²³ µs (8.4 s), since 5-byte events keep 23 bits of "
            f"the time, but comes at {events['t_us'][-1]} µs."
        )
    stored = np.empty((len(events), EVENT_BYTES), np.uint8)
    stored[:, 0], stored[:, 1] = events["x"], events["y"]
    stored[:, 2] = events["p"] << 7 | (events["t_us"] >> 16).astype(np.uint8)
    stored[:, 3] = events["t_us"] >> 8 & 0xFF
    stored[:, 4] = events["t_us"] & 0xFF
    with atomic_write(path) as file:
        file.write(stored.data)


def decode_five_byte(stored: np.ndarray) -> np.ndarray:
    """Return the events [N] (EVENT_DTYPE) of the bytes [N,5] in the same order."""
    events = np.empty(len(stored), EVENT_DTYPE)
    events["x"], events["y"] = stored[:, 0], stored[:, 1]
    events["p"] = stored[:, 2] >> 7
    high, middle = (stored[:, 2] & 0x7F).astype(np.int64), stored[:, 3].astype(np.int64)
    events["t_us"] = high << 16 | middle << 8 | stored[:, 4]
    return events


def _read(path: Path) -> tuple[np.ndarray, None]:
    data = map_file(path)
    count, rest = divmod(len(data), EVENT_BYTES)
    if rest:
        raise DataError(
            f"{path} is cut off, or no file of 5-byte events: after {count} events, {rest} more bytes are "
            f"left, at byte {len(data) - rest}. Copy it again."
        )
    return decode_five_byte(np.frombuffer(data, np.uint8).reshape(count, EVENT_BYTES)), None
