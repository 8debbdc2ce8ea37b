"""What a dataset knows about how objects move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from easnn.data.automotive import SYNTHETIC
from easnn.data.prophesee_layout import PropheseeSource
from easnn.events import MOTION_DTYPE, read_boxes, write_boxes
from easnn.representations import FrameSpec
from easnn.simulator import DatasetConfig, RecordingConfig, write_synthetic_dataset

SPEC = FrameSpec(Tm=1)


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("crossing") / "data"
    recording = RecordingConfig((60, 76), 1.0, 50, scenario="crossing")
    write_synthetic_dataset(out, DatasetConfig(2, 0, 0, recording=recording))
    first = out / "train/train_0000_bbox.npy"
    boxes = read_boxes(first)
    boxes["w"][1] = 0  # is dropped
    write_boxes(first, boxes)
    return out


@pytest.mark.parametrize("factor", [1, 2])
def test_every_box_of_a_frame_has_its_row(crossing: Path, factor: int) -> None:
    dataset = PropheseeSource(crossing, "train", SYNTHETIC).dataset(
        SPEC, num_classes=2, downsample=factor
    )
    stored = np.concatenate(
        [read_boxes(crossing / f"train/train_000{number}_bbox.npy") for number in (0, 1)]
    )
    stored = stored[stored["w"] > 0]
    seen = 0
    for index in (*range(len(dataset)), 0):
        motion, label = dataset.motion(index), dataset.label(index)
        assert motion is not None
        assert motion.shape == (len(label.boxes), len(MOTION_DTYPE))
        for row, box in zip(motion, label.boxes.numpy(), strict=True):
            (same,) = stored[(stored["t_us"] == label.time_us) & (stored["x"] == box[1] * factor)
                             & (stored["y"] == box[2] * factor)]  # fmt: skip
            assert row[0] == same["still_s"]
            assert row[1] == same["speed"] / factor
            assert row[2] == same["visible"]
            seen += 1
    assert seen > len(stored) > 10


def test_labels_without_columns_know_nothing(tmp_path: Path) -> None:
    recording = RecordingConfig((60, 76), 0.5, 50)
    write_synthetic_dataset(tmp_path, DatasetConfig(1, 0, 0, recording=recording))
    dataset = PropheseeSource(tmp_path, "train", SYNTHETIC).dataset(SPEC, num_classes=2)
    assert dataset.motion(0) is None
