"""A file as memory that the system reads when it is looked at."""

from __future__ import annotations

import mmap
from pathlib import Path

from easnn.utils.errors import DataError


def map_file(path: Path) -> mmap.mmap:
    """Return the bytes of a file, mapped for reading.

    Raises:
        DataError: if the file is missing, empty or cannot be read.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise DataError(f"{path} is empty (0 bytes). Copy or record it again.")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
