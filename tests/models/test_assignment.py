from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

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
    """SimOTA of one image, pair by pair: {anchor: (box, IoU)}."""
    near = ((grid.points_px - boxes[:, None, :2]).abs() < 1.5 * grid.strides_px).all(-1)
    candidates = near.any(0).nonzero().flatten().tolist()
    iou = box_iou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(predicted)).tolist()
    probability = (class_logits.sigmoid() * object_logits.sigmoid()).sqrt().tolist()

    def cost(n, a):
        right, own = probability[a], int(classes[n])
        entropy = sum(-math.log(p if c == own else 1 - p) for c, p in enumerate(right))
        return entropy - 3 * math.log(iou[n][a] + 1e-8) + (0 if near[n, a] else 1e6)

    costs = [{a: cost(n, a) for a in candidates} for n in range(len(boxes))]
    claims = {}
    for n in range(len(boxes)):
        overlaps = sorted((iou[n][a] for a in candidates), reverse=True)
        wanted = max(1, int(sum(overlaps[:10])))
        for a in sorted(candidates, key=costs[n].get)[:wanted]:
            claims.setdefault(a, []).append(n)
    chosen = {
        a: ns[0] if len(ns) == 1 else min(range(len(boxes)), key=lambda n: costs[n][a])
        for a, ns in claims.items()
    }
    return {a: (n, iou[n][a]) for a, n in chosen.items()}


@st.composite
def images(draw):
    """Boxes, some with the same centre, outside of the image or on the border of a candidate.

    Predictions come from a seed, so that no two anchors cost the same.
    """
    centre = st.tuples(st.integers(-20, 116), st.integers(-20, 84))
    side = st.tuples(st.integers(1, 80), st.integers(1, 80))
    boxes = draw(st.lists(st.tuples(centre, side), max_size=12))
    classes = draw(st.lists(st.integers(0, 2), min_size=len(boxes), max_size=len(boxes)))
    rng = np.random.default_rng(draw(seeds))
    grid = grid_of()
    A = len(grid.points_px)
    # Next to a box, so that some overlap it well and several anchors per box are wanted.
    near = rng.integers(len(boxes), size=A) if boxes else np.zeros(A, int)
    rows = np.array(boxes, dtype=float).reshape(-1, 4) if boxes else np.array([[0.0, 0, 9, 9]])
    predicted = rows[near] * rng.uniform(0.8, 1.25, (A, 4)) + rng.uniform(-3, 3, (A, 4)) * [
        1,
        1,
        0,
        0,
    ]
    return (
        torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4),
        torch.tensor(classes, dtype=torch.long),
        torch.from_numpy(predicted),
        torch.from_numpy(rng.uniform(-3, 3, (A, 1))),
        torch.from_numpy(rng.uniform(-3, 3, (A, 3))),
    )


@given(st.lists(images(), min_size=1, max_size=3))
def test_agrees_with_simota_image_by_image(batch):
    grid, most = grid_of(), max(len(boxes) for boxes, *_ in batch)
    targets = torch.zeros(len(batch), max(most, 1), 5, dtype=torch.float64)
    for row, (boxes, labels, *_) in zip(targets, batch, strict=True):
        row[: len(boxes)] = torch.cat((labels[:, None].double(), boxes), dim=1)

    truth = GroundTruth.of(targets, torch.float64)
    candidates = find_candidates(truth, grid)
    predicted = [torch.stack([image[i] for image in batch]) for i in (2, 3, 4)]
    found = assign(truth, candidates, *(candidates.take(values) for values in predicted))

    for b, image in enumerate(batch):
        expected = reference(*image, grid) if len(image[0]) else {}
        chosen = found.positive[b].nonzero().flatten()
        anchors = candidates.anchors[b, chosen].tolist()
        pairs = zip(found.box[b, chosen].tolist(), found.iou[b, chosen].tolist(), strict=True)
        assert dict(zip(anchors, pairs, strict=True)) == {
            a: (n, pytest.approx(iou, rel=1e-12)) for a, (n, iou) in expected.items()
        }


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
