"""The header of Prophesee's DAT files.

Text lines that start with ``%``, then one byte for the type of the events and one for their size. The oldest
files have no header at all: no line, and neither byte.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from easnn.utils.errors import DataError

EVENT_BYTES = 8
CD_TYPES = {0: "Event2D", 12: "CD"}
OTHER_TYPES = {14: "external trigger", 40: "optical flow"}
VERSIONS = (1, 2)
MAX_HEADER_BYTES = 65_536

_NOT_TEXT = re.compile(rb"[\x00-\x08\x0a-\x0c\x0e-\x1f]")


@dataclass(frozen=True)
class DatHeader:
    """What a header says.

    Attributes:
        size: bytes before the first event.
        version: 1 or 2, the layout of an event.
        sensor_hw: height and width in pixels, None if the header does not say.
    """

    size: int = 0
    version: int = 2
    sensor_hw: tuple[int, int] | None = None


def parse_header(head: bytes, path: Path) -> DatHeader:
    """Read the header of a DAT file.

    Args:
        head: the first MAX_HEADER_BYTES of the file, or all of it if it is shorter.
        path: the file's name for errors.

    Raises:
        DataError: if it is not the header of a DAT file with contrast-detection (CD) events.
    """
    # Without a header the file starts with an event, whose first byte can be a `%`. But the last of its eight
    # bytes is never a letter: the three highest bits are not used.
    first_line = head[:EVENT_BYTES].split(b"\n")[0]
    if not head.startswith(b"%") or _NOT_TEXT.search(first_line):
        return DatHeader()

    values, size = _parse_lines(head, path)
    if len(head) < size + 2:
        raise DataError(f"{path} ends after its header: no event type, no event. Copy or record it again.")
    _check_event_type(head[size], head[size + 1], path)
    version = values.get("version", 2)
    if version not in VERSIONS:
        raise DataError(f"`Version` in the header of {path} must be 1 or 2, but is {version}.")
    sensor_hw = (values["height"], values["width"]) if {"height", "width"} <= values.keys() else None
    return DatHeader(size + 2, version, sensor_hw)


def format_header(event_type: int, sensor_hw: tuple[int, int] | None) -> bytes:
    """Return a version 2 header with its type and size bytes."""
    lines = [f"% Data file containing {CD_TYPES[event_type]} events.", "% Version 2"]
    if sensor_hw is not None:
        lines += [f"% Height {sensor_hw[0]}", f"% Width {sensor_hw[1]}"]
    return ("\n".join(lines) + "\n").encode() + bytes([event_type, EVENT_BYTES])


def _parse_lines(head: bytes, path: Path) -> tuple[dict[str, int], int]:
    """Return the numbers that the ``%`` lines give, by lower-case name, and where the lines end."""
    values: dict[str, int] = {}
    start, number = 0, 1
    while head.startswith(b"%", start):
        end = head.find(b"\n", start)
        line = head[start:end] if end >= 0 else head[start:]
        if end < 0 or _NOT_TEXT.search(line):
            raise DataError(
                f"Header line {number} of {path} never ends, or is not text. The file is damaged, or not a "
                "DAT file."
            )
        name, _, value = line.decode("latin-1")[1:].strip().partition(" ")
        if name.lower() in ("version", "height", "width"):
            values[name.lower()] = _positive(name, value, path)
        start, number = end + 1, number + 1
    return values, start


def _positive(name: str, value: str, path: Path) -> int:
    # Version numbers may come as `2.0`.
    if not re.fullmatch(r"\s*[1-9][0-9]{0,5}(\.0*)?\s*", value):
        raise DataError(f"`{name}` in the header of {path} must be a positive number, but is {value!r}.")
    return int(float(value))


def _check_event_type(event_type: int, event_bytes: int, path: Path) -> None:
    expected = " or ".join(f"{number} ({name})" for number, name in CD_TYPES.items())
    if event_type not in CD_TYPES:
        name = OTHER_TYPES.get(event_type, "unknown")
        raise DataError(
            f"The event type of {path} must be {expected}, but is {event_type} ({name}). Export the "
            "recording's CD events instead."
        )
    if event_bytes != EVENT_BYTES:
        raise DataError(
            f"The event size of {path} must be {EVENT_BYTES} bytes, but is {event_bytes}. The file is "
            "damaged, or not a DAT file."
        )
