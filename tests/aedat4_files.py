"""Small AEDAT4 files, without compression."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np

MAGIC = b"#!AER-DAT4.0\r\n"
EVENT = np.dtype(
    {"names": ["t_us", "x", "y", "p"], "formats": ["<i8", "<i2", "<i2", "u1"], "itemsize": 16}
)
INDEX = b"The index, which is not read."


def aedat4(
    kinds: Mapping[int, str],
    packets: Sequence[tuple[int, bytes]],
    *,
    index: bool = False,
    xml: str | None = None,
) -> bytes:
    """Return a file with streams of some types, by number, and packets: (number, content).

    Args:
        kinds: the type of each stream; streams of events (EVTS) have 40×24 pixels.
        packets: number of the stream and content of each packet.
        index: whether an index follows the packets.
        xml: another description of the streams.
    """
    nodes = "".join(
        f'<node name="{number}" path="/outInfo/{number}/">\n'
        '<attr key="compression" type="string">NONE</attr>\n'
        f'<attr key="typeIdentifier" type="string">{kind}</attr>\n'
        f'<node name="info" path="/outInfo/{number}/info/">\n'
        '<attr key="sizeX" type="int">40</attr>\n<attr key="sizeY" type="int">24</attr>\n'
        f'<attr key="source" type="string">Camera_{number}</attr>\n</node>\n</node>\n'
        for number, kind in kinds.items()
    )
    described = (
        f'<dv version="2.0"><node name="outInfo" path="/outInfo/">\n{nodes}</node></dv>\n'
        if xml is None
        else xml
    ).encode()
    body = b"".join(struct.pack("<ii", number, len(data)) + data for number, data in packets)
    header_bytes = 52 + len(described)
    index_at = len(MAGIC) + 4 + header_bytes + len(body) if index else -1
    # Offset of the table; a table of the fields' offsets; then the table: itself, compression,
    # offset of the text, position of the index; the text.
    head = struct.pack("<I4s6x5HiIIq4xI", 24, b"IOHE", 10, 24, 4, 12, 8, 10, 0, 16, index_at, 0)
    head = head[:-4] + struct.pack("<I", len(described)) + described
    return MAGIC + struct.pack("<I", len(head)) + head + body + (INDEX if index else b"")


def event_packet(events: np.ndarray) -> bytes:
    """Return the content of a packet of events (EVENT_DTYPE)."""
    stored = np.zeros(len(events), EVENT)
    for name in stored.dtype.names or ():
        stored[name] = events[name]
    content = struct.pack("<I4s2x3HiII", 16, b"EVTS", 6, 8, 4, 6, 4, len(events)) + stored.tobytes()
    return struct.pack("<I", len(content)) + content
