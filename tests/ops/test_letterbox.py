from __future__ import annotations

import numpy as np
import pytest
import torch

from easnn.ops import Placement, letterbox_placement, place_boxes, unplace_boxes


@pytest.mark.parametrize(
    ("in_hw", "out_hw", "size"),
    [
        ((240, 304), (256, 320), (252, 320)),  # Gen1
        ((240, 304), (640, 640), (505, 640)),
        ((240, 304), (128, 160), (126, 160)),
        ((360, 640), (384, 640), (360, 640)),  # 1 Mpx at half resolution
        ((180, 240), (640, 640), (480, 640)),  # N-Caltech101
        ((1000, 10), (32, 32), (32, 1)),  # never less than a pixel
    ],
)
def test_letterbox_truncates_the_scaled_size(in_hw, out_hw, size):
    assert letterbox_placement(in_hw, out_hw) == Placement(*size, top_px=0, left_px=0, flip=False)


def test_boxes_placed_by_hand():
    boxes = torch.tensor([[[10.0, 20, 30, 40]]])
    placement = Placement(height_px=50, width_px=200, top_px=-7, left_px=5)
    assert place_boxes(boxes, [placement], (100, 100)).tolist() == [[[25, 3, 60, 20]]]
    mirrored = Placement(height_px=50, width_px=200, top_px=-7, left_px=5, flip=True)
    assert place_boxes(boxes, [mirrored], (100, 100)).tolist() == [[[125, 3, 60, 20]]]


def test_boxes_use_the_true_ratio_of_the_truncated_size():
    placement = letterbox_placement((240, 304), (640, 640))
    whole = torch.tensor([[[0.0, 0, 304, 240]]])
    torch.testing.assert_close(
        place_boxes(whole, [placement], (240, 304)), torch.tensor([[[0.0, 0, 640, 505]]])
    )


@pytest.mark.parametrize("seed", range(20))
def test_unplace_is_the_inverse_of_place(seed):
    rng = np.random.default_rng(seed)
    in_hw = tuple(int(n) for n in rng.integers(1, 1000, 2))
    placements = [
        Placement(
            *(int(n) for n in rng.integers(1, 900, 2)),
            *(int(n) for n in rng.integers(-500, 500, 2)),
            flip,
        )
        for flip in (False, True, True)
    ]
    boxes = torch.from_numpy(rng.uniform(-50, 700, (3, 9, 4)))
    before = boxes.clone()
    torch.testing.assert_close(
        unplace_boxes(place_boxes(boxes, placements, in_hw), placements, in_hw), boxes
    )
    torch.testing.assert_close(
        place_boxes(unplace_boxes(boxes, placements, in_hw), placements, in_hw), boxes
    )
    assert boxes.equal(before)


def test_boxes_keep_their_type_and_may_be_none():
    placements = [letterbox_placement((240, 304), (256, 320))] * 2
    for dtype in (torch.float32, torch.float64):
        assert place_boxes(torch.zeros(2, 3, 4, dtype=dtype), placements, (240, 304)).dtype == dtype
    assert unplace_boxes(torch.zeros(2, 0, 4), placements, (240, 304)).shape == (2, 0, 4)
