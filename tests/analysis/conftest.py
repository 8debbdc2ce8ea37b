from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_parts import FixedDetector, write_recording

from easnn.data import FrameSpec, RawDataset
from easnn.models import DetectorConfig

OBJECTS = [
    [32, 16, 16, 8, 1.0, 0.9, 0.1],
    [16, 24, 8, 16, 0.8, 0.2, 0.5],
    [48, 8, 16, 8, 0.2, 0.5, 0.1],
]


@pytest.fixture
def detector() -> FixedDetector:
    """Finds a sure car, a less sure pedestrian, and a car of which nobody would be sure."""
    return FixedDetector(OBJECTS).train()


@pytest.fixture
def sampling_detector() -> FixedDetector:
    """Finds the same, behind an adaptive sampler that nobody trained."""
    torch.manual_seed(0)
    config = DetectorConfig(embedding="arsnn", embedding_ksize=3, thresh=0.3)
    return FixedDetector(OBJECTS, config).train()


@pytest.fixture
def frame_spec() -> FrameSpec:
    return FrameSpec(window_ms=-200, Tl=1, Tm=4, aggregation="micro_sum")


@pytest.fixture
def dataset(tmp_path: Path) -> RawDataset:
    """Two recordings of a second with three labelled frames each."""
    root = tmp_path / "data"
    for name in ("a", "b"):
        write_recording(root / "val", name, label_times_us=[300_000, 600_000, 900_000])
    return RawDataset(root, "val", window_ms=-200, Tl=1, Tm=4, aggregation="micro_sum", num_classes=2)
