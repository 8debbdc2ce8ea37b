"""AEDAT4 files of iniVation's cameras, decoded by the package ``aedat``."""

from __future__ import annotations

from pathlib import Path

import aedat
import numpy as np

from easnn.events.columns import pack_columns
from easnn.events.loaded import LoadedRecording
from easnn.events.mapping import map_file
from easnn.events.types import EVENT_DTYPE
from easnn.utils.errors import DataError


def open_aedat4(path: Path | str, *, sensor_hw: tuple[int, int] | None = None) -> LoadedRecording:
    """Open an AEDAT4 file with one stream of events; it is read as a whole.

    Times are as the camera wrote them, in µs since 1970 for most.

    Args:
        path: the file.
        sensor_hw: height and width of the sensor in pixels, instead of what the file says. Every event that
            is read must lie inside.

    Raises:
        DataError: if the file is missing, damaged or cut off, if it has not exactly one stream of events, or
            if its times run backwards.
    """
    return LoadedRecording(Path(path), sensor_hw, _read)


def _read(path: Path) -> tuple[np.ndarray, tuple[int, int]]:
    map_file(path).close()  # says what is wrong with a file that is missing or empty
    pieces = [np.empty(0, EVENT_DTYPE)]
    count = 0
    try:
        decoder = aedat.Decoder(path)
        streams = {
            number: about for number, about in decoder.id_to_stream().items() if about["type"] == "events"
        }
        for packet in decoder:
            if len(streams) == 1 and packet["stream_id"] in streams:
                stored = packet["events"]
                columns = {"t": stored["t"], "x": stored["x"], "y": stored["y"], "p": stored["on"]}
                pieces.append(pack_columns(columns, path, first=count))
                count += len(stored)
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{path} is damaged or cut off after {count} events: {error}. Copy it again."
        ) from error
    if len(streams) != 1:
        raise DataError(f"{path} must have one stream of events, but has {len(streams)}.")
    if count == 0:
        raise DataError(f"{path} has no events. Record it again.")
    (about,) = streams.values()
    return np.concatenate(pieces), (about["height"], about["width"])
