"""N-MNIST .bin files (40-bit events, no header), the format of N-MNIST and N-Caltech101.

Bytes of an event: x, y, then 24 bits, highest first: polarity (1 bit) and time in µs (23 bits).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from easnn.events.checks import check_writable
from easnn.events.dtypes import EVENT_DTYPE
from easnn.events.evidence import PROBED_BYTES, reject_other_content, reject_zeros
from easnn.events.loaded_recording import LoadedRecording
from easnn.utils.errors import DataError
from easnn.utils.files import atomic_write, map_file

EVENT_BYTES = 5
TIME_BITS = 23
LIMIT_HW = (256, 256)


def open_n_mnist(
    path: Path | str, *, sensor_hw: tuple[int, int] | None = None, drop_invalid: bool = False
) -> LoadedRecording:
    """Load an N-MNIST .bin file (40-bit events, at most 8.4 s).

    Args:
        path: the file.
        sensor_hw: height and width of the sensor in pixels, which the file does not store. Every
            event that is read must lie inside; if it is None, coordinates are not checked.
        drop_invalid: whether to drop single events outside of the sensor instead of raising an
            error when they are read.

    Raises:
        DataError: if the file is missing, empty, cut off, text or ends with zeros, or if its times
            run backwards.
    """
    return LoadedRecording(Path(path), sensor_hw, _read, drop_invalid)


def write_n_mnist(path: Path | str, events: np.ndarray) -> None:
    """Write ``events`` (EVENT_DTYPE), at least one, sorted by time, as an N-MNIST .bin file.

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
            f"The last event of {path} must come before 2²³ µs (8.4 s), since N-MNIST .bin files "
            f"keep 23 bits of the time, but comes at {events['t_us'][-1]} µs."
        )
    stored = np.empty((len(events), EVENT_BYTES), np.uint8)
    stored[:, 0], stored[:, 1] = events["x"], events["y"]
    stored[:, 2] = events["p"] << 7 | (events["t_us"] >> 16).astype(np.uint8)
    stored[:, 3] = events["t_us"] >> 8 & 0xFF
    stored[:, 4] = events["t_us"] & 0xFF
    with atomic_write(path) as file:
        file.write(stored.data)


def decode_n_mnist(stored: np.ndarray) -> np.ndarray:
    """Return the events [N] (EVENT_DTYPE) of the bytes [N,5] in the same order."""
    events = np.empty(len(stored), EVENT_DTYPE)
    events["x"], events["y"] = stored[:, 0], stored[:, 1]
    events["p"] = stored[:, 2] >> 7
    high, middle = (stored[:, 2] & 0x7F).astype(np.int64), stored[:, 3].astype(np.int64)
    events["t_us"] = high << 16 | middle << 8 | stored[:, 4]
    return events


def _read(path: Path) -> tuple[np.ndarray, None]:
    data = map_file(path)
    reject_other_content(data[:PROBED_BYTES], path, "an N-MNIST .bin file (40-bit events)")
    count, rest = divmod(len(data), EVENT_BYTES)
    stored = np.frombuffer(data, np.uint8)[: count * EVENT_BYTES].reshape(count, EVENT_BYTES)
    reject_zeros(stored, path, "events")
    if rest:
        raise DataError(
            f"{path} is cut off, or not an N-MNIST .bin file (40-bit events): after {count} "
            f"events, {rest} more bytes are left, at byte {len(data) - rest}. Copy it again."
        )
    return decode_n_mnist(stored), None
