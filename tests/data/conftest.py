from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger
from raw_layout import open_dataset, write_recording

from easnn.data import RecordingDataset


@pytest.fixture
def small_dataset(tmp_path: Path) -> RecordingDataset:
    """Eleven frames in three recordings, of one to three boxes each."""
    for number, frames in enumerate((2, 5, 4)):
        boxes = [
            (20_000 * (k + 1), 4 + b, 5, 10, 8, number % 2)
            for k in range(frames)
            for b in range(1 + k % 3)
        ]
        write_recording(tmp_path / "train", f"r{number}", boxes=boxes)
    return open_dataset(tmp_path)


@pytest.fixture
def log() -> Iterator[list[str]]:
    """Messages of the log."""
    messages: list[str] = []
    handler = logger.add(messages.append, format="{message}")
    yield messages
    logger.remove(handler)
