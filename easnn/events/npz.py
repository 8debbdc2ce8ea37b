"""Events in NumPy archives: arrays ``t``, ``x``, ``y``, ``p`` [N] and an optional sensor size."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from easnn.events.checks import check_writable
from easnn.events.columns import COLUMNS, check_columns, keeps_far, pack_columns
from easnn.events.loaded_recording import LoadedRecording
from easnn.events.numpy_files import load_members
from easnn.utils.errors import DataError
from easnn.utils.files import atomic_write

LIMIT_HW = (65_536, 65_536)
_SCALARS = ("height", "width")


def open_npz(
    path: Path | str, *, sensor_hw: tuple[int, int] | None = None, drop_invalid: bool = False
) -> LoadedRecording:
    """Load a NumPy archive with the arrays ``t`` (µs), ``x``, ``y`` and ``p``.

    Args:
        path: the file.
        sensor_hw: height and width of the sensor in pixels; overrides the size in the file. Every
            event that is read must lie inside. If neither is given, coordinates are not checked.
        drop_invalid: whether to drop single events outside of the sensor instead of raising an
            error when they are read.

    Raises:
        DataError: if the file is missing, damaged, not such an archive or holds Python objects, or
            if its times run backwards.
    """
    read = functools.partial(_read, given_hw=sensor_hw, drop_invalid=drop_invalid)
    return LoadedRecording(Path(path), sensor_hw, read, drop_invalid)


def write_npz(
    path: Path | str, events: np.ndarray, *, sensor_hw: tuple[int, int] | None = None
) -> None:
    """Write ``events`` (EVENT_DTYPE) as an archive that :func:`open_npz` reads.

    Args:
        path: the file, written atomically.
        events: at least one event, sorted by time.
        sensor_hw: height and width of the sensor in pixels, written to the archive.

    Raises:
        DataError: if there is no event, or one is before 0 µs, not in order or outside the sensor.
        OutputError: if the file cannot be written.
    """
    path = Path(path)
    if len(events) == 0:
        raise DataError(f"{path} must get at least one event, but gets none.")
    check_writable(events, sensor_hw or LIMIT_HW, path)
    arrays: dict[str, Any] = {
        "t": events["t_us"],
        "x": events["x"],
        "y": events["y"],
        "p": events["p"],
    }
    if sensor_hw is not None:
        arrays |= {name: np.int64(side) for name, side in zip(_SCALARS, sensor_hw, strict=True)}
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)


def _read(
    path: Path, given_hw: tuple[int, int] | None, drop_invalid: bool
) -> tuple[np.ndarray, tuple[int, int] | None]:
    arrays = load_members(path, COLUMNS, _SCALARS)
    check_columns({name: (arrays[name].dtype, arrays[name].shape) for name in COLUMNS}, path, "")
    stored_hw = _sensor_hw(arrays, path)
    keep_far = keeps_far(given_hw or stored_hw, drop_invalid=drop_invalid)
    return pack_columns(arrays, path, keep_far=keep_far), stored_hw


def _sensor_hw(arrays: dict[str, np.ndarray], path: Path) -> tuple[int, int] | None:
    if not arrays.keys() >= {*_SCALARS}:
        return None
    height, width = (arrays[name] for name in _SCALARS)
    if not all(
        side.shape == () and side.dtype.kind in "iu" and 0 < side <= LIMIT_HW[0]
        for side in (height, width)
    ):
        raise DataError(
            f"`height` and `width` of {path} must be numbers of pixels, but are {height} and "
            f"{width}."
        )
    return int(height), int(width)
