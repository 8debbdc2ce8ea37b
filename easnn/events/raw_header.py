"""The header of Prophesee's RAW files.

Text lines that start with ``%``. New cameras write ``% format EVT3;height=720;width=1280`` and close with
``% end``; old ones write ``% evt 3.0``, perhaps ``% geometry 1280x720``, and the header ends before the first
byte that does not begin such a line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from easnn.utils.errors import DataError

ENCODINGS = ("EVT2", "EVT21", "EVT3")
VERSIONS = {"2.0": "EVT2", "2.1": "EVT21", "3.0": "EVT3"}
MAX_HEADER_BYTES = 65_536
SENSORS = (
    (re.compile(r"gen3(?!\d)|gen3\.?1", re.IGNORECASE), (480, 640)),
    (re.compile(r"gen4(?!\d)|gen4\.?1|imx636", re.IGNORECASE), (720, 1280)),
    (re.compile(r"genx320", re.IGNORECASE), (320, 320)),
)
"""Sensors by their names in old headers, and their height and width in pixels."""

_LINE = re.compile(rb"% ?([\t\x20-\xff]*)\r?\n")
_RAW_LINE = re.compile(rb"^% *(evt|format) ", re.MULTILINE)
_MAX_SIDE_PX = 16_384


@dataclass(frozen=True)
class RawHeader:
    """What a header says.

    Attributes:
        size: bytes before the first word.
        encoding: of the words, one of ENCODINGS.
        sensor_hw: height and width in pixels, None if the header does not say.
        swapped: whether the halves of EVT2.1 words are swapped.
    """

    size: int
    encoding: str
    sensor_hw: tuple[int, int] | None
    swapped: bool


def is_raw(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` has the header of a RAW file."""
    return head.startswith(b"%") and _RAW_LINE.search(head[: _end_of_lines(head)]) is not None


def parse_raw_header(head: bytes, path: Path) -> RawHeader:
    """Read the header of a RAW file.

    Args:
        head: the first MAX_HEADER_BYTES of the file, or all of it if it is shorter.
        path: the file's name for errors.

    Raises:
        DataError: if the header is damaged, or names no encoding that can be read.
    """
    size = _end_of_lines(head)
    values: dict[str, str] = {}
    for line in head[:size].decode("latin-1").splitlines():
        name, _, value = line[1:].strip().partition(" ")
        values[name.lower()] = value.strip()
    options = dict(option.partition("=")[::2] for option in values.get("format", "").split(";")[1:])
    encoding = values.get("format", "").split(";")[0].strip() or VERSIONS.get(values.get("evt", ""), "")
    if encoding not in ENCODINGS:
        found = values.get("format") or values.get("evt") or "missing"
        raise DataError(
            f"The encoding in the header of {path} must be EVT2, EVT21 or EVT3, but is {found!r}. Export the "
            "recording as DAT with the tools of its camera."
        )
    return RawHeader(size, encoding, _sensor_hw(values, options, path), options.get("endianness") == "legacy")


def _end_of_lines(head: bytes) -> int:
    size = 0
    while match := _LINE.match(head, size):
        size = match.end()
        if match[1].strip() == b"end":
            break
    return size


def _sensor_hw(values: dict[str, str], options: dict[str, str], path: Path) -> tuple[int, int] | None:
    """Return the size that the format, the geometry or the name of the sensor tells, in this order."""
    if {"height", "width"} <= options.keys():
        return _side(options["height"], path), _side(options["width"], path)
    if "geometry" in values:
        width, _, height = values["geometry"].partition("x")
        return _side(height, path), _side(width, path)
    names = values.get("sensor_name", "") + " " + values.get("plugin_name", "")
    return next((hw for sensor, hw in SENSORS if sensor.search(names)), None)


def _side(text: str, path: Path) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text) or int(text) > _MAX_SIDE_PX:
        raise DataError(
            f"Height and width in the header of {path} must be 1 to {_MAX_SIDE_PX} pixels, but one is "
            f"{text!r}."
        )
    return int(text)
