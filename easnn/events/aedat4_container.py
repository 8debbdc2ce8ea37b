"""The container of AEDAT4 files: which streams a file has, and a file with only one of them.

A file begins with ``#!AER-DAT4.0``, followed by a header: the table ``IOHeader`` in the flatbuffers
encoding, whose fields are the compression, the position of an index at the end of the file (-1: no
index), and an XML document that describes the streams. Packets follow, each with the number of its
stream (i4) and its size in bytes (i4). What a packet contains is left to the package ``aedat``.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from easnn.utils.errors import DataError

MAGIC = b"#!AER-DAT4.0\r\n"
EVENTS = "EVTS"
"""The type of a stream of events."""

MAX_HEADER_BYTES = 2**24
_PACKET_HEAD = struct.Struct("<ii")
_INDEX_FIELD, _XML_FIELD = 1, 2
"""Numbers of fields of ``IOHeader``."""


@dataclass
class Stream:
    """What the header says about a stream.

    Attributes:
        number: its number, which its packets have.
        begin: first byte of its description in the file.
        end: byte after it.
        values: the attributes of the description by name, as text.
    """

    number: int
    begin: int
    end: int = 0
    values: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The type of its packets, ``EVTS`` for events."""
        return self.values.get("typeIdentifier", "")

    @property
    def sensor_hw(self) -> tuple[int, int] | None:
        """Height and width in pixels; None if they are not given or no numbers of pixels."""
        height, width = self.values.get("sizeY", ""), self.values.get("sizeX", "")
        sides = re.fullmatch(r"[1-9]\d{0,4} [1-9]\d{0,4}", f"{height} {width}", re.ASCII)
        return (int(height), int(width)) if sides else None

    def __str__(self) -> str:
        size = "×".join(map(str, self.sensor_hw[::-1])) if self.sensor_hw else ""
        about = ", ".join(part for part in (size, self.values.get("source", "")) if part)
        return f"{self.number} ({about})" if about else str(self.number)


class Header(NamedTuple):
    """The header of a file.

    Attributes:
        streams: all streams, of whatever type.
        index_at: where the position of the index is stored; None if it is not.
        end: byte after the header.
    """

    streams: list[Stream]
    index_at: int | None
    end: int


def read_header(data: mmap.mmap, path: Path) -> Header:
    """Read the header of a file.

    Args:
        data: the content of the file.
        path: its name, for errors.

    Raises:
        DataError: if the header is damaged or cut off.
    """
    try:
        return _parse_header(data)
    except (struct.error, expat.ExpatError, ValueError) as error:
        reason = "the file ends in it" if isinstance(error, struct.error) else error
        raise DataError(
            f"{path} is damaged or cut off: its header cannot be read ({reason}). Copy it again."
        ) from error


def with_one_stream(data: mmap.mmap, header: Header, stream: Stream) -> Iterator[bytes]:
    """Yield the pieces of a file that contains only one of the streams, without an index.

    From a packet on whose size is impossible, all bytes are left as they are: the decoder says what
    is wrong.
    """
    head = bytearray(data[: header.end])
    for other in header.streams:
        if other is not stream:
            head[other.begin : other.end] = b" " * (other.end - other.begin)
    stop = len(data)
    if header.index_at is not None:
        (index,) = struct.unpack_from("<q", head, header.index_at)
        stop = index if header.end <= index <= stop else stop
        struct.pack_into("<q", head, header.index_at, -1)
    yield bytes(head)
    at = header.end
    while at < stop:
        number, size = _PACKET_HEAD.unpack_from(data, at) if at + 8 <= stop else (stream.number, 0)
        end = at + _PACKET_HEAD.size + size
        if size <= 0 or end > stop:
            yield data[at:stop]
            return
        if number == stream.number:
            yield data[at:end]
        at = end


def _parse_header(data: mmap.mmap) -> Header:
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError(f"it must begin with {MAGIC!r}, but begins with {data[: len(MAGIC)]!r}")
    (size,) = struct.unpack_from("<I", data, len(MAGIC))
    start = len(MAGIC) + 4
    end = start + size
    if not 0 < size <= MAX_HEADER_BYTES or end > len(data):
        raise ValueError(f"it promises {size} bytes")
    table = start + struct.unpack_from("<I", data, start)[0]
    xml_field = _field(data, table, _XML_FIELD)
    if xml_field is None:
        raise ValueError("it describes no streams")
    text = xml_field + struct.unpack_from("<I", data, xml_field)[0]
    (length,) = struct.unpack_from("<I", data, text)
    if text + 4 + length > end:
        raise ValueError(f"its description promises {length} bytes")
    streams = _parse_xml(data[text + 4 : text + 4 + length], text + 4)
    return Header(streams, _field(data, table, _INDEX_FIELD), end)


def _field(data: mmap.mmap, table: int, number: int) -> int | None:
    """Return where a field of a flatbuffers table is stored; None if it has its default."""
    entries = table - struct.unpack_from("<i", data, table)[0]
    if entries < 0 or struct.unpack_from("<H", data, entries)[0] < 6 + 2 * number:
        return None
    (offset,) = struct.unpack_from("<H", data, entries + 4 + 2 * number)
    return table + offset if offset else None


def _parse_xml(text: bytes, begin: int) -> list[Stream]:
    """Return the streams that the XML document ``text``, at byte ``begin`` of the file, describes.

    They are the nodes in the node ``outInfo``. Python's other parsers do not tell where an element
    begins.
    """
    parser = expat.ParserCreate("UTF-8")
    streams: list[Stream] = []
    around: list[str] = []  # the names of the nodes around the current position
    key: str | None = None

    def open_element(tag: str, attributes: dict[str, str]) -> None:
        nonlocal key
        name = attributes.get("name", "")
        if tag == "node" and around[-1:] == ["outInfo"]:
            streams.append(Stream(int(name), begin + parser.CurrentByteIndex))
        around.append(name if tag == "node" else "")
        key = attributes.get("key") if tag == "attr" and "outInfo" in around else None

    def close_element(tag: str) -> None:
        nonlocal key
        around.pop()
        key = None
        if tag == "node" and around[-1:] == ["outInfo"]:
            streams[-1].end = begin + text.index(b">", parser.CurrentByteIndex) + 1

    def read_text(characters: str) -> None:
        if key is not None and streams:
            values = streams[-1].values
            values[key] = values.get(key, "") + characters

    def refuse_entity(*_: object) -> None:
        raise ValueError("it declares entities")

    parser.StartElementHandler = open_element
    parser.EndElementHandler = close_element
    parser.CharacterDataHandler = read_text
    parser.EntityDeclHandler = refuse_entity  # a few of them can stand for gigabytes
    parser.Parse(text, True)
    return streams
