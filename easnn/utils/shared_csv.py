"""A CSV file to which several processes append rows."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from easnn.utils.errors import OutputError
from easnn.utils.locks import exclusive


class SharedCsv:
    """A CSV file to which independent processes append rows.

    The file is locked while it is written. The header is written once, and a row either completely
    or not at all: if the disk is full, a partial row is removed.

    Args:
        path: the file; it and its folder are created if missing.
        columns: the header.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = tuple(columns)

    def check(self) -> None:
        """Check that rows can be appended, to fail before a long computation and not after it.

        Raises:
            OutputError: if the file cannot be written, or has another header.
        """
        self._append("")

    def append(self, row: Mapping[str, object]) -> None:
        """Append a row.

        Args:
            row: a value for each column; ``None`` leaves the cell empty.

        Raises:
            OutputError: if the file cannot be written, or has another header.
        """
        self._append(_line([row[name] for name in self.columns]))

    def _append(self, line: str) -> None:
        header = _line(self.columns)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with exclusive(self.path), self.path.open("a+b", buffering=0) as file:
                file.seek(0)
                first, size = file.readline(), file.seek(0, os.SEEK_END)
                if size and first.decode(errors="replace").rstrip("\r\n") != header.rstrip("\r\n"):
                    raise OutputError(
                        f"{self.path} must begin with the header {header.strip()}, but begins with "
                        f"{first.decode(errors='replace').strip()!r}. Choose another file."
                    )
                begin = header if not size else "" if _ends_line(file) else "\n"  # edited by hand
                _write_all(file, (begin + line).encode(), size)
        except OSError as error:
            raise OutputError(
                f"Cannot append to {self.path}: {error.strerror}. Choose another file or free some space."
            ) from error


def _ends_line(file: io.FileIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _write_all(file: io.FileIO, data: bytes, size: int) -> None:
    """Append ``data`` to the file of ``size`` bytes, or leave it unchanged if that fails."""
    try:
        while data:
            data = data[file.write(data) or 0 :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(size)
        raise


def _line(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
