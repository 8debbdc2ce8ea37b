from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import placements, seeds, sizes_hw

from easnn.ops import (
    Placement,
    letterbox_placement,
    place_boxes,
    unplace_boxes,
    unplace_detections,
    xywh_to_xyxy,
)


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


@given(sizes_hw(2000), st.lists(placements(900), min_size=1, max_size=4), seeds)
def test_unplace_is_the_inverse_of_place(in_hw, drawn, seed):
    boxes = torch.from_numpy(np.random.default_rng(seed).uniform(-50, 700, (len(drawn), 9, 4)))
    before = boxes.clone()
    torch.testing.assert_close(unplace_boxes(place_boxes(boxes, drawn, in_hw), drawn, in_hw), boxes)
    torch.testing.assert_close(place_boxes(unplace_boxes(boxes, drawn, in_hw), drawn, in_hw), boxes)
    assert boxes.equal(before)


@given(sizes_hw(2000), placements(900), seeds)
def test_detections_come_back_as_the_boxes_that_were_placed(in_hw, placement, seed):
    rng = np.random.default_rng(seed)
    boxes = torch.from_numpy(rng.uniform(-50, 700, (9, 4)))
    scores, classes = torch.from_numpy(rng.random((9, 1))), torch.arange(9.0)[:, None].double()
    [placed] = place_boxes(boxes[None], [placement], in_hw)
    detections = torch.cat((xywh_to_xyxy(placed), scores, classes), dim=1)
    torch.testing.assert_close(
        unplace_detections(detections, placement, in_hw),
        torch.cat((classes, scores, boxes), dim=1),
    )


@given(sizes_hw(2000), sizes_hw(1300))
def test_the_letterbox_lies_in_the_input_and_fills_one_side(in_hw, out_hw):
    placement = letterbox_placement(in_hw, out_hw)
    sides = placement.height_px, placement.width_px
    assert (placement.top_px, placement.left_px, placement.flip) == (0, 0, False)
    left_px = [out - side for out, side in zip(out_hw, sides, strict=True)]
    assert min(left_px) in (0, 1)  # a scale that is rounded down can cost the last pixel
    scale = min(out / side for out, side in zip(out_hw, in_hw, strict=True))
    for side, original in zip(sides, in_hw, strict=True):
        assert abs(side - original * scale) <= 1


def test_boxes_keep_their_type_and_may_be_none():
    twice = [letterbox_placement((240, 304), (256, 320))] * 2
    for dtype in (torch.float32, torch.float64):
        assert place_boxes(torch.zeros(2, 3, 4, dtype=dtype), twice, (240, 304)).dtype == dtype
    assert unplace_boxes(torch.zeros(2, 0, 4), twice, (240, 304)).shape == (2, 0, 4)
