"""Opening a recording in any supported format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from easnn.events.aedat4 import open_aedat4
from easnn.events.checks import LATE_US
from easnn.events.dat import EVENT_BYTES as DAT_BYTES
from easnn.events.dat import UNUSED_BITS_FROM, open_dat
from easnn.events.evidence import APPLE_DOUBLE, is_text
from easnn.events.evt_raw import MAX_HEADER_BYTES, is_raw, open_raw
from easnn.events.hdf5 import open_hdf5
from easnn.events.n_mnist import EVENT_BYTES, decode_n_mnist, open_n_mnist
from easnn.events.npz import open_npz
from easnn.events.recording import StoredRecording
from easnn.utils.errors import DataError
from easnn.utils.files import map_file

Opener = Callable[..., StoredRecording]

SIGNATURES: tuple[tuple[bytes, Opener], ...] = (
    (b"\x89HDF\r\n\x1a\n", open_hdf5),
    (b"PK\x03\x04", open_npz),
    (b"#!AER-DAT4", open_aedat4),
)
"""First bytes of a format, and the function that opens it."""

DAT_SUFFIX, N_MNIST_SUFFIX = ".dat", ".bin"
"""Of files without a header: their bytes alone prove too little."""

PROBED_EVENTS = 1000
ADVICE = "It may be damaged, or in another format."


def open_recording(
    path: Path | str,
    *,
    sensor_hw: tuple[int, int] | None = None,
    stream: int | None = None,
    drop_invalid: bool = False,
) -> StoredRecording:
    """Open a recording: DAT, RAW (EVT2, EVT2.1, EVT3), HDF5, AEDAT4, N-MNIST .bin or npz.

    The format is detected from the first bytes of the file. Formats without a header (N-MNIST, the
    oldest DAT files) must also have the usual suffix and hold what may be events.

    Args:
        path: the file.
        sensor_hw: height and width of the sensor in pixels; overrides the size in the file. Every
            event that is read must lie inside. If neither is given, coordinates are not checked.
        stream: number of the stream of events to read from an AEDAT4 file; needed if it has
            several. Other formats have one.
        drop_invalid: whether to drop single events outside of the sensor instead of raising an
            error when they are read.
            The size of the sensor must be known.

    Raises:
        DataError: if the file is missing, damaged, incomplete or in none of these formats, if it is
            a RAW file and the size of its sensor is unknown, or if ``stream`` does not fit it.
    """
    path = Path(path)
    opener = _opener(path)
    if opener is open_aedat4:
        return open_aedat4(path, sensor_hw=sensor_hw, stream=stream, drop_invalid=drop_invalid)
    if stream is not None:
        raise DataError(
            f"--stream (`stream` in Python) chooses a stream of an AEDAT4 file, but {path} has "
            "another format. Omit it."
        )
    return opener(path, sensor_hw=sensor_hw, drop_invalid=drop_invalid)


def _opener(path: Path) -> Opener:
    with map_file(path) as data:
        head = data[:MAX_HEADER_BYTES]
        size = len(data)
    if is_raw(head):
        return open_raw
    for signature, opener in SIGNATURES:
        if head.startswith(signature):
            return opener
    suffix = path.suffix.lower()
    if suffix == N_MNIST_SUFFIX and _may_be_n_mnist(head, size):
        return open_n_mnist  # also where the first event lies at x = 37, which is "%"
    if head.startswith(b"%") or (suffix == DAT_SUFFIX and _may_be_dat(head, size)):
        return open_dat
    raise DataError(
        f"{path} is not a recording in a known format: its first bytes are not those of DAT, RAW, "
        f"HDF5, AEDAT4 or npz, and {_what_else(head, size, suffix)}"
    )


def _what_else(head: bytes, size: int, suffix: str) -> str:
    """Return what a file without the first bytes of a format is or is not, as half a sentence."""
    if not any(head):
        part = "all" if size == len(head) else f"the first {len(head)}"
        return (
            f"{part} of its {size} bytes are zero: it was not completely downloaded or copied. "
            "Copy it again."
        )
    if is_text(head):
        return (
            "it is text, which is not read as events. Convert it to npz, with "
            "`easnn.events.write_npz`."
        )
    if head.startswith(APPLE_DOUBLE):
        return "it is what macOS leaves beside a file, named `._NAME`. Give NAME instead."
    if suffix == DAT_SUFFIX:
        return (
            f"its {size} bytes are no DAT events without a header: these have 8 bytes each, of "
            f"which 3 bits are not used, and their times are in order. {ADVICE}"
        )
    if suffix == N_MNIST_SUFFIX:
        return (
            f"its {size} bytes are no N-MNIST events: these have 5 bytes each, and their times are "
            f"in order. {ADVICE}"
        )
    return (
        "formats without such bytes are only recognised by name: N-MNIST (.bin) and the oldest DAT "
        f"files (.dat). {ADVICE}"
    )


def _may_be_dat(head: bytes, size: int) -> bool:
    """Return whether a file may be DAT without a header.

    The unused bits of the first events are 0, and their times in order.
    """
    if size % DAT_BYTES or is_text(head):
        return False
    stored = np.frombuffer(head[: len(head) // 8 * 8], "<u4").reshape(-1, 2)[:PROBED_EVENTS]
    return not (stored[:, 1] >> UNUSED_BITS_FROM).any() and _in_order(stored[:, 0].astype(np.int64))


def _may_be_n_mnist(head: bytes, size: int) -> bool:
    """Return whether a file may be N-MNIST: the times of its first events are in order."""
    if size % EVENT_BYTES or is_text(head):
        return False
    whole = len(head) // EVENT_BYTES * EVENT_BYTES
    stored = np.frombuffer(head[:whole], np.uint8).reshape(-1, EVENT_BYTES)[:PROBED_EVENTS]
    return _in_order(decode_n_mnist(stored)["t_us"])


def _in_order(times: np.ndarray) -> bool:
    return bool((np.maximum.accumulate(times) - times <= LATE_US).all())
