"""Open recordings, a bounded number of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from easnn.events import Recording


class RecentRecordings:
    """Opens recordings on demand and keeps those that were used last, so that files and mappings stay few.

    Args:
        open_recording: opens the recording at a path.
        capacity: how many stay open.
    """

    def __init__(self, open_recording: Callable[[Path], Recording], capacity: int) -> None:
        self._open_recording = open_recording
        self._capacity = capacity
        self._recent: OrderedDict[Path, Recording] = OrderedDict()

    def __getitem__(self, path: Path) -> Recording:
        if path not in self._recent:
            self._recent[path] = self._open_recording(path)
        self._recent.move_to_end(path)
        if len(self._recent) > self._capacity:
            self._recent.popitem(last=False)
        return self._recent[path]
