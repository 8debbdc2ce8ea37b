"""Open recordings, a bounded number of them."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from easnn.utils.errors import DataError

Opened = TypeVar("Opened")


def open_first(open_recording: Callable[[Path], Opened], paths: Iterable[Path]) -> Opened:
    """Open the first recording that can be opened: one that is damaged must not hide what the others tell.

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


class RecentRecordings(Generic[Opened]):
    """Opens recordings on demand and keeps those that were used last, so that files and mappings stay few.

    A forked process opens its own: two that read through one file descriptor would move each other's place.

    Args:
        open_recording: opens the recording at a path.
        capacity: how many stay open.
    """

    def __init__(self, open_recording: Callable[[Path], Opened], capacity: int) -> None:
        self._open_recording = open_recording
        self._capacity = capacity
        self._recent: OrderedDict[Path, Opened] = OrderedDict()
        self._process = os.getpid()

    def __getitem__(self, path: Path) -> Opened:
        if self._process != os.getpid():
            self._recent.clear()
            self._process = os.getpid()
        if path not in self._recent:
            self._recent[path] = self._open_recording(path)
        self._recent.move_to_end(path)
        if len(self._recent) > self._capacity:
            self._recent.popitem(last=False)
        return self._recent[path]
