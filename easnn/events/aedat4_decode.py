"""A separate program that writes the events of the AEDAT4 file on stdin to stdout.

Some damaged files make the package ``aedat`` abort the process, so it runs in a child process. This
file is run by its path and imports nothing from easnn.

Input: a file with one stream, of events. Output: the events as records of 13 bytes: time u8, x u2,
y u2, polarity u1, little-endian.
"""

from __future__ import annotations

import sys

import aedat
import numpy as np

RECORD_DTYPE = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
MAX_MEMORY_BYTES = 2**32
"""Limit of the address space: a damaged file may request any amount of memory."""


def main() -> None:
    """Write the events."""
    for packet in aedat.Decoder("/dev/stdin"):
        stored = packet["events"]
        records = np.empty(len(stored), RECORD_DTYPE)
        records["t"], records["x"], records["y"] = stored["t"], stored["x"], stored["y"]
        records["p"] = stored["on"]
        sys.stdout.buffer.write(records.tobytes())


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = MAX_MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MAX_MEMORY_BYTES, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


if __name__ == "__main__":
    _limit_memory()
    main()
