"""What a dataset knows about how objects move."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from easnn.data.automotive import SYNTHETIC
from easnn.data.prophesee_layout import PropheseeSource
from easnn.events import BOX_DTYPE, MOTION_DTYPE, read_boxes, write_boxes
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


def test_silence_is_measured_where_labels_do_not_say_it(tmp_path: Path) -> None:
    recording = RecordingConfig((60, 76), 0.5, 50)
    write_synthetic_dataset(tmp_path, DatasetConfig(1, 0, 0, recording=recording))
    dataset = PropheseeSource(tmp_path, "train", SYNTHETIC).dataset(SPEC, num_classes=2)
    assert dataset.measures_silence
    for index in range(len(dataset)):
        motion = dataset.motion(index)
        assert motion is not None
        assert motion.shape == (len(dataset.label(index).boxes), len(MOTION_DTYPE))
        assert np.isnan(motion[:, 1:]).all()
        assert (motion[:, 0] <= dataset.label(index).time_us / 1e6).all()


def test_measured_silence_agrees_with_the_labels(crossing: Path, tmp_path: Path) -> None:
    labelled = PropheseeSource(crossing, "train", SYNTHETIC).dataset(SPEC, num_classes=2)
    assert not labelled.measures_silence
    shutil.copytree(crossing, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.rglob("*_bbox.npy"):
        boxes = read_boxes(path)
        write_boxes(path, boxes[list(BOX_DTYPE.names)])
    measured = PropheseeSource(tmp_path, "train", SYNTHETIC).dataset(SPEC, num_classes=2)
    pairs = [(labelled.motion(i), measured.motion(i)) for i in range(len(labelled))]
    said, found = (np.concatenate(motions) for motions in zip(*pairs, strict=True))
    moves = said[:, 0] == 0
    assert np.count_nonzero(moves) > 5
    assert (found[moves, 0] == 0).mean() > 0.7
