from __future__ import annotations

import pytest
import torch

from easnn.ops import (
    box_areas,
    box_iou,
    clip_boxes,
    cxcywh_to_xywh,
    cxcywh_to_xyxy,
    xywh_to_cxcywh,
    xywh_to_xyxy,
    xyxy_to_cxcywh,
    xyxy_to_xywh,
)


def test_one_box_in_every_format():
    xyxy, xywh, cxcywh = (
        torch.tensor(b) for b in ([2.0, 3, 8, 13], [2.0, 3, 6, 10], [5.0, 8, 6, 10])
    )
    assert xyxy_to_xywh(xyxy).equal(xywh)
    assert xyxy_to_cxcywh(xyxy).equal(cxcywh)
    assert xywh_to_xyxy(xywh).equal(xyxy)
    assert xywh_to_cxcywh(xywh).equal(cxcywh)
    assert cxcywh_to_xyxy(cxcywh).equal(xyxy)
    assert cxcywh_to_xywh(cxcywh).equal(xywh)


@pytest.mark.parametrize("shape", [(4,), (0, 4), (2, 3, 5, 4)])
def test_formats_keep_leading_axes_and_their_input(shape):
    boxes = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    before = boxes.clone()
    assert cxcywh_to_xyxy(boxes).shape == xywh_to_cxcywh(boxes).shape == shape
    torch.testing.assert_close(xyxy_to_cxcywh(cxcywh_to_xyxy(boxes)), boxes)
    assert boxes.equal(before)


def test_clip_moves_corners_into_the_image():
    boxes = torch.tensor([[-5.0, -1, 3, 4], [8, 8, 12, 30], [20, 20, 25, 25], [1, 2, 3, 4]])
    clipped = clip_boxes(boxes, (10, 11))
    assert clipped.tolist() == [[0, 0, 3, 4], [8, 8, 11, 10], [11, 10, 11, 10], [1, 2, 3, 4]]


def test_areas():
    boxes = torch.tensor([[[1.0, 2, 4, 8], [3, 3, 3, 9]]])
    assert box_areas(boxes).tolist() == [[18, 0]]


def test_iou_counted_by_hand():
    a = torch.tensor([[0.0, 0, 4, 4], [0, 0, 2, 2]])
    b = torch.tensor([[0.0, 0, 4, 4], [2, 2, 6, 6], [4, 0, 8, 4], [1, 1, 3, 2]])
    expected = torch.tensor([[1, 4 / 28, 0, 2 / 16], [4 / 16, 0, 0, 1 / 5]])
    torch.testing.assert_close(box_iou(a, b), expected)


def test_iou_of_empty_boxes_is_zero():
    point = torch.tensor([[3.0, 3, 3, 3]])
    assert box_iou(point, point).item() == 0
    assert box_iou(point, torch.tensor([[0.0, 0, 6, 6]])).item() == 0
    assert box_iou(torch.zeros(0, 4), point).shape == (0, 1)


def test_iou_broadcasts_leading_axes():
    generator = torch.Generator().manual_seed(1)
    a = cxcywh_to_xyxy(torch.rand(3, 5, 4, generator=generator))
    b = cxcywh_to_xyxy(torch.rand(7, 4, generator=generator))
    together = box_iou(a, b)
    assert together.shape == (3, 5, 7)
    for image in range(3):
        torch.testing.assert_close(together[image], box_iou(a[image], b))
