"""Reading ``.npy`` and ``.npz`` files that may be damaged or malicious."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from easnn.utils.errors import DataError
from easnn.utils.files import map_file, refuse_special

MAX_SHRINK = 1032
"""Largest compression ratio of a zip member (deflate)."""

MAX_TOTAL_SHRINK = 100
ALWAYS_READ_BYTES = 2**28
"""An archive that becomes larger than this and than MAX_TOTAL_SHRINK times its size is no recording
or label file, in which at most the polarity is compressed that well, but fills the memory."""


def load_array(path: Path) -> np.ndarray:
    """Return the array of a ``.npy`` file.

    Raises:
        DataError: if the file is missing, incomplete or holds Python objects.
    """
    refuse_special(path)
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    except Exception as error:  # damaged headers make NumPy's parser raise almost any type
        raise DataError(
            f"{path} is not a whole .npy file without Python objects: {error}. Copy it again."
        ) from error


def load_members(
    path: Path, needed: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Return arrays of a NumPy archive (``.npz``) by name.

    Args:
        path: the file.
        needed: names of required arrays.
        optional: names of arrays that are read if all of them are present.

    Raises:
        DataError: if the file is missing or incomplete, holds Python objects, or lacks an array.
    """
    map_file(path).close()  # raises for a missing or empty file
    try:
        with zipfile.ZipFile(path) as archive:
            members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            missing = [name for name in needed if name not in members]
            names = [*needed, *(optional if members.keys() >= {*optional} else ())]
            if not missing:
                _check_total([members[name] for name in names], path)
            arrays = {} if missing else {name: _array(archive, members[name]) for name in names}
    except Exception as error:  # damaged files make zipfile and NumPy raise almost any type
        raise DataError(
            f"{path} is not a whole NumPy archive of plain arrays: {error}. Copy it again."
        ) from error
    if missing:
        raise DataError(
            f"{path} must have the arrays {', '.join(needed[:-1])} and {needed[-1]}, but has "
            f"{', '.join(sorted(members)) or 'none'}."
        )
    return arrays


def _check_total(entries: Sequence[zipfile.ZipInfo], path: Path) -> None:
    """Check that reading all of these members takes a plausible amount of memory."""
    total, size = sum(entry.file_size for entry in entries), path.stat().st_size
    if total > max(ALWAYS_READ_BYTES, MAX_TOTAL_SHRINK * size):
        raise ValueError(f"it promises {total} bytes, more than {MAX_TOTAL_SHRINK} times its size")


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """Return a member after checking that its declared size matches the archive."""
    with archive.open(entry) as stream:
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[np.lib.format.read_magic(stream)]
        shape, _, dtype = read_header(stream)
        if dtype.hasobject:
            raise ValueError("Python objects are never loaded")
        promised = dtype.itemsize * int(np.prod(shape, dtype=object))
        held = entry.file_size - stream.tell()
        if promised != held or entry.file_size > MAX_SHRINK * entry.compress_size:
            raise ValueError(f"`{entry.filename}` promises {promised} bytes, but holds {held}")
        return np.frombuffer(stream.read(), dtype).reshape(shape)
