"""AEDAT4 files of iniVation's cameras, decoded by the package ``aedat`` in a child process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from easnn.events import aedat4_decode
from easnn.events.columns import pack_columns
from easnn.events.loaded_recording import LoadedRecording
from easnn.utils.errors import DataError
from easnn.utils.files import map_file

MIN_TIMEOUT_S = 60
BYTES_PER_S = 1_000_000
"""Decoding is aborted when it is slower than this and takes longer than MIN_TIMEOUT_S."""


def open_aedat4(path: Path | str, *, sensor_hw: tuple[int, int] | None = None) -> LoadedRecording:
    """Load an AEDAT4 file with one stream of events.

    Times are as stored by the camera; for most cameras these are µs since 1970.

    Args:
        path: the file.
        sensor_hw: height and width of the sensor in pixels; overrides the size in the file. Every
            event that is read must lie inside.

    Raises:
        DataError: if the file is missing, damaged or cut off, if it does not have exactly one
            stream of events, or if its times run backwards.
    """
    return LoadedRecording(Path(path), sensor_hw, _read)


def _read(path: Path) -> tuple[np.ndarray, tuple[int, int]]:
    with map_file(path) as data:
        timeout_s = max(MIN_TIMEOUT_S, len(data) / BYTES_PER_S)
    command = [sys.executable, "-P", aedat4_decode.__file__, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise DataError(
            f"{path} is damaged: it takes more than {timeout_s:.0f} s to decode."
        ) from error
    head, _, body = done.stdout.partition(b"\n")
    count = len(body) // aedat4_decode.RECORD_DTYPE.itemsize
    if done.returncode != 0:
        raise DataError(
            f"{path} is damaged or cut off after {count} events{_reason(done.stderr)}. Copy it "
            "again."
        )
    sizes = json.loads(head)
    if len(sizes) != 1:
        raise DataError(f"{path} must have one stream of events, but has {len(sizes)}.")
    if count == 0:
        raise DataError(f"{path} has no events. Record it again.")
    records = np.frombuffer(body, aedat4_decode.RECORD_DTYPE)
    height, width = sizes[0]
    return pack_columns({name: records[name] for name in "txyp"}, path), (height, width)


def _reason(messages: bytes) -> str:
    """Return the last line of a traceback, without the type of the error."""
    last = messages.decode(errors="replace").strip().rsplit("\n", 1)[-1]
    return f": {last.partition(': ')[2]}" if ": " in last else ""
