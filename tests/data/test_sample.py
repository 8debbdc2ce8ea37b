from __future__ import annotations

import numpy as np
import pytest
import torch

from easnn.data import DetectionSample, collate
from easnn.ops import Placement


def sample(index, boxes, events=None):
    return DetectionSample(
        events=torch.full((1, 2, 2, 3, 4), index, dtype=torch.uint8) if events is None else events,
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 5),
        placement=Placement(6, 8, top_px=index),
        index=index,
        time_us=1000 * index,
        sequence=f"s{index}",
    )


BOX, OTHER = [1, 2, 3, 4, 5], [0, -1, 0, 0.5, 7]


def test_collate_stacks_and_fills_up_with_zero_rows():
    batch = collate([sample(7, [BOX]), sample(8, []), sample(9, [OTHER, BOX])])
    assert len(batch) == 3
    assert batch.events[:, 0, 0, 0, 0, 0].tolist() == [7, 8, 9]
    assert batch.events.dtype == torch.uint8
    assert batch.boxes.tolist() == [[BOX, [0] * 5], [[0] * 5] * 2, [OTHER, BOX]]
    assert batch.placements == (Placement(6, 8, 7), Placement(6, 8, 8), Placement(6, 8, 9))
    assert (batch.indices, batch.times_us) == ((7, 8, 9), (7000, 8000, 9000))
    assert batch.sequences == ("s7", "s8", "s9")
    assert batch.sensor_hw == (3, 4)


def test_collate_of_frames_without_boxes():
    batch = collate([sample(0, []), sample(1, [])])
    assert batch.boxes.shape == (2, 0, 5)
    assert [rows.shape for rows in batch.ground_truth()] == [(0, 5), (0, 5)]


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32])
def test_one_large_count_widens_the_batch(dtype):
    large = torch.full((1, 2, 2, 3, 4), torch.iinfo(dtype).max, dtype=dtype)
    batch = collate([sample(255, []), sample(1, [], large)])
    assert batch.events.dtype == dtype
    assert batch.events[:, 0, 0, 0, 0, 0].tolist() == [255, torch.iinfo(dtype).max]


def test_floats_stay_as_small_as_they_came_unless_one_is_wider():
    half = torch.full((1, 2, 2, 3, 4), 0.25, dtype=torch.float16)
    single = torch.full((1, 2, 2, 3, 4), 1e5, dtype=torch.float32)
    assert collate([sample(0, [], half), sample(1, [], half)]).events.dtype == torch.float16
    mixed = collate([sample(0, [], half), sample(1, [], single)])
    assert mixed.events.dtype == torch.float32
    assert mixed.events[:, 0, 0, 0, 0, 0].tolist() == [0.25, 1e5]


def test_ground_truth_is_the_boxes_without_padding():
    truth = collate([sample(7, [BOX]), sample(9, [OTHER, BOX])]).ground_truth()
    assert all(rows.dtype == np.float32 for rows in truth)
    assert [rows.tolist() for rows in truth] == [[BOX], [OTHER, BOX]]


def test_to_moves_the_tensors_and_nothing_else():
    batch = collate([sample(7, [BOX])])
    moved = batch.to("meta")
    assert moved.events.is_meta
    assert moved.boxes.is_meta
    assert (moved.placements, moved.indices) == (batch.placements, batch.indices)
    assert not batch.events.is_meta
