"""AEDAT4 files of iniVation's cameras, decoded by the package ``aedat`` in a child process."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from easnn.events import aedat4_decode
from easnn.events.aedat4_container import EVENTS, Stream, read_header, with_one_stream
from easnn.events.columns import pack_columns
from easnn.events.loaded_recording import LoadedRecording
from easnn.utils.errors import DataError
from easnn.utils.files import map_file

MIN_TIMEOUT_S = 60
BYTES_PER_S = 1_000_000
"""Decoding is aborted when it is slower than this and takes longer than MIN_TIMEOUT_S."""


def open_aedat4(
    path: Path | str,
    *,
    sensor_hw: tuple[int, int] | None = None,
    stream: int | None = None,
    drop_invalid: bool = False,
) -> LoadedRecording:
    """Load the events of an AEDAT4 file; its streams of other kinds are skipped.

    Times are as stored by the camera; for most cameras these are µs since 1970.

    Args:
        path: the file.
        sensor_hw: height and width of the sensor in pixels; overrides the size in the file. Every
            event that is read must lie inside.
        stream: number of the stream of events to read; needed if the file has several.
        drop_invalid: whether to drop single events outside of the sensor instead of raising an
            error when they are read.

    Raises:
        DataError: if the file is missing, damaged or cut off, if it has no stream of events, not
            the one with this number or several without one being chosen, or if its times run
            backwards.
    """
    read = functools.partial(_read, number=stream)
    return LoadedRecording(Path(path), sensor_hw, read, drop_invalid)


def _read(path: Path, number: int | None) -> tuple[np.ndarray, tuple[int, int] | None]:
    with map_file(path) as data:
        header = read_header(data, path)
        stream = _chosen(header.streams, number, path)
        content = b"".join(with_one_stream(data, header, stream))
    timeout_s = max(MIN_TIMEOUT_S, len(content) / BYTES_PER_S)
    command = [sys.executable, "-P", aedat4_decode.__file__]
    try:
        done = subprocess.run(
            command, input=content, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(
            f"{path} is damaged: it takes more than {timeout_s:.0f} s to decode."
        ) from error
    count = len(done.stdout) // aedat4_decode.RECORD_DTYPE.itemsize
    if done.returncode != 0:
        raise DataError(
            f"{path} is damaged or cut off after {count} events{_reason(done.stderr)}. Copy it "
            "again."
        )
    if count == 0:
        raise DataError(f"{path} has no events in stream {stream.number}. Record it again.")
    records = np.frombuffer(done.stdout, aedat4_decode.RECORD_DTYPE)
    return pack_columns({name: records[name] for name in "txyp"}, path), stream.sensor_hw


def _chosen(streams: Sequence[Stream], number: int | None, path: Path) -> Stream:
    """Return the stream of events with this number, or the only one."""
    of_events = [stream for stream in streams if stream.kind == EVENTS]
    named = " and ".join(map(str, of_events))
    if not of_events:
        kinds = ", ".join(stream.kind for stream in streams) or "no stream"
        raise DataError(f"{path} must have a stream of events (EVTS), but has {kinds}.")
    if number is None and len(of_events) > 1:
        raise DataError(
            f"{path} has {len(of_events)} streams of events: {named}. Choose one with --stream N "
            "of `easnn convert-events` or `easnn demo` (`stream` in Python)."
        )
    chosen = [stream for stream in of_events if number in (None, stream.number)]
    if not chosen:
        raise DataError(
            f"{path} has no stream of events with the number {number}, but {named}. Choose one of "
            "these with --stream N (`stream` in Python)."
        )
    return chosen[0]


def _reason(messages: bytes) -> str:
    """Return the last line of a traceback, without the type of the error."""
    last = messages.decode(errors="replace").strip().rsplit("\n", 1)[-1]
    return f": {last.partition(': ')[2]}" if ": " in last else ""
