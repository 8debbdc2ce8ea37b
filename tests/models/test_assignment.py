from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from easnn.models.anchors import STRIDES, AnchorGrid, decode_boxes, encode_boxes
from easnn.models.assignment import GroundTruth, assign, find_candidates
from easnn.ops.boxes import box_iou, cxcywh_to_xyxy

HW = (64, 96)


@pytest.fixture(autouse=True, params=["at hand", "on the device"])
def values(request, monkeypatch):
    """Shapes follow the values, as on a CPU, or do not depend on them, as on a GPU."""
    if request.param == "on the device":
        monkeypatch.setattr("easnn.models.assignment._values_at_hand", lambda tensor: False)
    return request.param


def grid_of(hw=HW, dtype=torch.float64):
    return AnchorGrid.of([torch.empty(1, 1, hw[0] // s, hw[1] // s) for s in STRIDES], dtype)


def reference(boxes, classes, predicted, object_logits, class_logits, grid):
    """SimOTA of one image, box by box: {anchor: (box, IoU)}."""
    near = ((grid.points_px - boxes[:, None, :2]).abs() < 1.5 * grid.strides_px).all(-1)
    candidates = near.any(0).nonzero().flatten().tolist()
    if not candidates:
        return {}
    probability = (class_logits.sigmoid() * object_logits.sigmoid()).sqrt()
    iou = box_iou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(predicted))
    cost = torch.zeros_like(iou)
    for n, label in enumerate(classes.tolist()):
        target = functional.one_hot(torch.tensor(label), class_logits.shape[1]).to(iou.dtype)
        for a in range(len(predicted)):
            cost[n, a] = functional.binary_cross_entropy(probability[a], target, reduction="sum")
    cost += -3 * torch.log(iou + 1e-8) + 1e6 * ~near

    claims = {}
    for n in range(len(boxes)):
        overlaps = sorted((iou[n, a].item() for a in candidates), reverse=True)
        wanted = max(1, int(sum(overlaps[:10])))
        for a in sorted(candidates, key=lambda a: cost[n, a].item())[:wanted]:
            claims.setdefault(a, []).append(n)
    chosen = {a: ns[0] if len(ns) == 1 else cost[:, a].argmin().item() for a, ns in claims.items()}
    return {a: (n, iou[n, a].item()) for a, n in chosen.items()}


def random_image(generator, boxes, classes):
    def uniform(*shape, low=0.0, high=1.0):
        return torch.rand(*shape, generator=generator, dtype=torch.float64) * (high - low) + low

    grid = grid_of()
    centres = uniform(boxes, 2, low=-10, high=100)  # some are outside of the image
    truth = torch.cat((centres, uniform(boxes, 2, low=2, high=60)), dim=1)
    A = len(grid.points_px)
    raw = torch.cat((uniform(A, 2, low=-1, high=2), uniform(A, 2, low=-1, high=2)), dim=1)
    return (
        truth,
        torch.randint(classes, (boxes,), generator=generator),
        decode_boxes(raw, grid.points_px, grid.strides_px),
        uniform(A, 1, low=-3, high=3),
        uniform(A, classes, low=-3, high=3),
    )


@pytest.mark.parametrize(("seed", "most"), [(0, 3), (1, 12), (2, 12), (3, 30)])
def test_agrees_with_simota_image_by_image(seed, most):
    generator, grid, classes = torch.Generator().manual_seed(seed), grid_of(), 3
    images = [random_image(generator, boxes, classes) for boxes in (most, 0, 1, most // 2)]
    targets = torch.zeros(len(images), most, 5, dtype=torch.float64)
    for row, (boxes, labels, *_) in zip(targets, images, strict=True):
        row[: len(boxes)] = torch.cat((labels[:, None].double(), boxes), dim=1)

    truth = GroundTruth.of(targets, torch.float64)
    candidates = find_candidates(truth, grid)
    predicted = [torch.stack([image[i] for image in images]) for i in (2, 3, 4)]
    found = assign(truth, candidates, *(candidates.take(values) for values in predicted))

    positives = 0
    for b, image in enumerate(images):
        expected = reference(*image, grid) if len(image[0]) else {}
        chosen = found.positive[b].nonzero().flatten()
        anchors = candidates.anchors[b, chosen].tolist()
        pairs = zip(found.box[b, chosen].tolist(), found.iou[b, chosen].tolist(), strict=True)
        assert dict(zip(anchors, pairs, strict=True)) == {
            a: (n, pytest.approx(iou, rel=1e-12)) for a, (n, iou) in expected.items()
        }
        positives += len(expected)
    assert positives > most


def test_hand_counted_candidates(values):
    # Centre of the cell of stride 8 in row 3, column 4; of its neighbours, the next ones are 1
    # stride away.
    truth = GroundTruth.of(torch.tensor([[[0, 36.0, 28.0, 10.0, 10.0]]]), torch.float32)
    candidates = find_candidates(truth, grid_of(dtype=torch.float32))
    fine, middle, coarse = HW[0] * HW[1] // 64, HW[0] * HW[1] // 256, 0
    expected = [row * 12 + column for row in (2, 3, 4) for column in (3, 4, 5)]
    # Stride 16: points at 8, 24, 40, 56, …; less than 24 away.
    expected += [fine + row * 6 + column for row in (0, 1, 2) for column in (1, 2, 3)]
    # Stride 32: points at 16, 48, 80; less than 48 away.
    expected += [
        fine + middle + coarse + row * 3 + column for row in (0, 1) for column in (0, 1, 2)
    ]
    assert candidates.anchors[0, candidates.valid[0]].tolist() == expected
    assert candidates.valid.shape == (1, len(expected) if values == "at hand" else 27)
    assert candidates.anchors[~candidates.valid].tolist() == [0] * (27 - len(expected)) or (
        values == "at hand"
    )


def test_a_box_without_anchors_nearby_gets_none():
    targets = torch.tensor([[[0, 500.0, 500.0, 20.0, 20.0]]])
    candidates = find_candidates(
        GroundTruth.of(targets, torch.float32), grid_of(dtype=torch.float32)
    )
    assert not candidates.valid.any()
    assert candidates.valid.shape[1] >= 1


def test_rows_that_are_padding_in_all_images_are_left_out_where_values_are_at_hand(values):
    targets = torch.zeros(2, 50, 5)
    targets[0, [1, 4], 3:] = 20.0  # padding may also be before a box
    targets[1, 2, 3:] = 20.0
    truth = GroundTruth.of(targets, torch.float32)
    assert truth.real.sum(1).tolist() == [2, 1]
    assert truth.real.shape == truth.classes.shape == (2, 5 if values == "at hand" else 50)


def test_two_equal_boxes_share_no_anchor():
    grid = grid_of()
    box = torch.tensor([48.0, 32.0, 30.0, 30.0], dtype=torch.float64)
    truth = GroundTruth.of(torch.stack([torch.cat((torch.zeros(1), box))] * 2)[None], torch.float64)
    candidates = find_candidates(truth, grid)
    anchors = len(grid.points_px)
    predicted = box.expand(1, anchors, 4)
    logits = torch.zeros(1, anchors, 1, dtype=torch.float64)
    found = assign(truth, candidates, *map(candidates.take, (predicted, logits, logits)))
    # All IoUs are 1, so each box wants ten anchors: the same ones, and the first box gets them.
    assert found.positive.sum() == 10
    assert found.box[found.positive].tolist() == [0] * 10


def test_boxes_survive_encoding():
    grid = grid_of()
    boxes = torch.rand(len(grid.points_px), 4, dtype=torch.float64) * 50 + 1
    raw = encode_boxes(boxes, grid.points_px, grid.strides_px)
    torch.testing.assert_close(
        decode_boxes(raw, grid.points_px, grid.strides_px), boxes, atol=1e-5, rtol=0
    )


def test_anchor_points():
    grid = grid_of((32, 64))
    assert grid.sizes == ((4, 8), (2, 4), (1, 2))
    assert grid.points_px[[0, 1, 8, 32, 41]].tolist() == [
        [4, 4],
        [12, 4],
        [4, 12],
        [8, 8],
        [48, 16],
    ]
    assert grid.strides_px[[0, 31, 32, 39, 40, 41], 0].tolist() == [8, 8, 16, 16, 32, 32]
