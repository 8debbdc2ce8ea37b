"""What speaks against a file holding events: text, bytes of zero, another kind of file.

Formats without a header accept almost any bytes, and a download that stopped leaves bytes of zero,
which are events at time 0 in some formats.
"""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np

from easnn.utils.errors import DataError

ZERO_ROWS = 64
"""So many events of zeros in a row do not occur in a recording: all of them would be equal."""

APPLE_DOUBLE = b"\x00\x05\x16\x07"
PROBED_BYTES = 4096
MIN_TEXT_BYTES = 16
_TEXT = (string.digits + string.ascii_letters + string.punctuation + " \t\r\n").encode()


def is_text(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is text, without letters beyond ASCII."""
    probed = head[:PROBED_BYTES]
    return len(probed) >= MIN_TEXT_BYTES and not probed.translate(None, _TEXT)


def reject_other_content(head: bytes, path: Path, kind: str) -> None:
    """Raise an error if a file without a header is text, or what macOS leaves beside a file.

    Args:
        head: its first bytes.
        path: the file.
        kind: the format that it is to have, e.g. "a DAT file".

    Raises:
        DataError: if it is.
    """
    if is_text(head):
        raise DataError(
            f"{path} is not {kind}, but text. Text is not read as events: convert it to npz, with "
            "`easnn.events.write_npz`."
        )
    if head.startswith(APPLE_DOUBLE):
        raise DataError(
            f"{path} is not {kind}, but what macOS leaves beside a file, named `._NAME`. Give NAME "
            "instead."
        )


def reject_zeros(
    stored: np.ndarray, path: Path, name: str, *, at_least: int = ZERO_ROWS, first: int = 0
) -> None:
    """Raise an error if the last rows of a file are zeros, as an incomplete download leaves them.

    Args:
        stored: the last rows that are stored, [N], of any type.
        path: the file.
        name: what the rows are called in the message, e.g. "events".
        at_least: how many must be zeros.
        first: how many rows come before these.

    Raises:
        DataError: if they are.
    """
    if len(stored) < at_least or _as_bytes(stored[-at_least:]).any():
        return
    count = len(stored)
    for start in range(0, count, 1_000_000):  # from the end, in pieces: the file may be large
        piece = stored[max(0, count - start - 1_000_000) : count - start]
        kept = np.flatnonzero(_as_bytes(piece).any(axis=1))
        if len(kept):
            zeros = start + len(piece) - 1 - int(kept[-1])
            break
    else:
        zeros = count
    raise DataError(
        f"The last {zeros} of {first + count} {name} of {path} are zero in every byte: the file "
        "was not completely downloaded or copied. Copy it again."
    )


def _as_bytes(stored: np.ndarray) -> np.ndarray:
    """Return the bytes [N,B] of rows [N]."""
    return np.ascontiguousarray(stored).view(np.uint8).reshape(len(stored), -1)
