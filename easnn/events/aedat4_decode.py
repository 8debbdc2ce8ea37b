"""A separate program that writes the events of an AEDAT4 file (its argument) to stdout.

Some damaged files make the package ``aedat`` abort the process, so it runs in a child process. The
file is run by its path and imports nothing from easnn.

Output: a line of JSON, ``[[height, width], ...]`` of all event streams; then, if there is exactly
one, its events as records of 13 bytes: time u8, x u2, y u2, polarity u1, little-endian.
"""

from __future__ import annotations

import json
import sys

import aedat
import numpy as np

RECORD_DTYPE = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
MAX_MEMORY_BYTES = 2**32
"""Limit of the address space: a damaged file may request any amount of memory."""


def main(path: str) -> None:
    """Write the events of ``path``."""
    decoder = aedat.Decoder(path)
    streams = {
        number: about
        for number, about in decoder.id_to_stream().items()
        if about["type"] == "events"
    }
    sizes = [[about["height"], about["width"]] for about in streams.values()]
    sys.stdout.buffer.write(json.dumps(sizes).encode() + b"\n")
    if len(streams) != 1:
        return
    for packet in decoder:
        if packet["stream_id"] in streams:
            stored = packet["events"]
            records = np.empty(len(stored), RECORD_DTYPE)
            records["t"], records["x"], records["y"] = stored["t"], stored["x"], stored["y"]
            records["p"] = stored["on"]
            sys.stdout.buffer.write(records.tobytes())


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))


if __name__ == "__main__":
    _limit_memory()
    main(sys.argv[1])
