"""Opening recordings: the first of many that can be opened, and a bounded number at a time."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from easnn.utils.errors import DataError

Opened = TypeVar("Opened")

MAX_OPEN = 64
"""Recordings that a process keeps open for a dataset."""


def open_first(open_recording: Callable[[Path], Opened], paths: Iterable[Path]) -> Opened:
    """Open the first recording that can be opened, so that a damaged one does not hide the others.

    Args:
        open_recording: opens the recording at a path.
        paths: at least one.

    Raises:
        DataError: that of the first recording, if none can be opened.
    """
    first_error: DataError | None = None
    for path in paths:
        try:
            return open_recording(path)
        except DataError as error:
            first_error = first_error or error
    assert first_error is not None
    raise first_error


class RecordingPool(Generic[Opened]):
    """Opens recordings on demand and closes those that have not been used for the longest time.

    A forked process opens its own: two processes that read through the same file descriptor would
    change each other's position in the file.

    Args:
        open_recording: opens the recording at a path.
        capacity: how many stay open.
    """

    def __init__(self, open_recording: Callable[[Path], Opened], capacity: int = MAX_OPEN) -> None:
        self._open_recording = open_recording
        self._capacity = capacity
        self._opened: OrderedDict[Path, Opened] = OrderedDict()  # last used at the end
        self._process = os.getpid()

    def __getitem__(self, path: Path) -> Opened:
        if self._process != os.getpid():
            self._opened.clear()
            self._process = os.getpid()
        if path not in self._opened:
            self._opened[path] = self._open_recording(path)
        self._opened.move_to_end(path)
        if len(self._opened) > self._capacity:
            self._opened.popitem(last=False)
        return self._opened[path]
