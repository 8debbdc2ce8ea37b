from __future__ import annotations

from pathlib import Path

from easnn.data.recording_pool import RecordingPool


def test_the_least_recently_used_recording_is_closed_first():
    opened = []

    def open_recording(path):
        opened.append(path.name)
        return object()

    recordings = RecordingPool(open_recording, capacity=2)
    first = recordings[Path("a")]
    for name in "baca":
        recordings[Path(name)]
    assert recordings[Path("a")] is first
    assert opened == ["a", "b", "c"]
    recordings[Path("b")]
    assert opened == ["a", "b", "c", "b"]
