from __future__ import annotations

from pathlib import Path

import pytest
from small_parts import write_recording

from easnn.data import GEN1, PropheseeSource, RecordingDataset
from easnn.representations import FrameSpec


@pytest.fixture
def frame_spec() -> FrameSpec:
    return FrameSpec()


@pytest.fixture
def dataset(tmp_path: Path) -> RecordingDataset:
    """Two recordings of a second with three labelled frames each."""
    root = tmp_path / "data"
    for name in ("a", "b"):
        write_recording(root / "val", name, label_times_us=[300_000, 600_000, 900_000])
    return PropheseeSource(root, "val", GEN1).dataset(FrameSpec(), num_classes=2)
