from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from easnn.ops import batched_nms, box_iou, cxcywh_to_xyxy, select_detections
from easnn.ops.nms import plain_nms


def literal_nms(boxes, scores, groups, threshold):
    """One step per box, as the algorithm is told."""
    iou, scores, groups = box_iou(boxes, boxes).tolist(), scores.tolist(), groups.tolist()
    kept = []
    for n in sorted(range(len(boxes)), key=lambda n: (-scores[n], n)):
        if all(groups[n] != groups[k] or iou[n][k] <= threshold for k in kept):
            kept.append(n)
    return kept


def random_boxes(count, seed, *, spread=60.0):
    generator = torch.Generator().manual_seed(seed)
    cxcywh = torch.rand(count, 4, generator=generator, dtype=torch.float64) * spread
    # A few distinct scores, so that there are many ties.
    scores = torch.randint(0, 1 + count // 3, (count,), generator=generator) / 100
    return cxcywh_to_xyxy(cxcywh), scores, torch.randint(0, 3, (count,), generator=generator)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.65, 1.0])
@pytest.mark.parametrize("count", [1, 2, 30, 64, 65, 300])
def test_agrees_with_the_literal_algorithm(count, threshold):
    boxes, scores, groups = random_boxes(count, seed=count)
    assert batched_nms(boxes, scores, groups, threshold).tolist() == literal_nms(
        boxes, scores, groups, threshold
    )
    one_group = torch.zeros(count, dtype=torch.long)
    assert plain_nms(boxes, scores, threshold).tolist() == literal_nms(
        boxes, scores, one_group, threshold
    )


@st.composite
def lattice_boxes(draw):
    """Up to 150 boxes with corners on a coarse lattice, of few scores and classes.

    Many are equal, touch, are empty, have equal scores, or overlap by exactly the threshold.
    """
    corners = draw(
        arrays(np.int64, st.tuples(st.integers(1, 150), st.just(4)), elements=st.integers(-6, 6))
    )
    count = len(corners)
    scores = draw(arrays(np.int64, count, elements=st.integers(0, 5)))
    groups = draw(arrays(np.int64, count, elements=st.integers(0, 2)))
    corners = np.concatenate((np.sort(corners[:, 0::2]), np.sort(corners[:, 1::2])), axis=1)
    boxes = torch.from_numpy(corners[:, [0, 2, 1, 3]]).double()
    return boxes, torch.from_numpy(scores) / 5, torch.from_numpy(groups)


def torchvision_nms():
    try:
        from torchvision.ops import nms
    except Exception as error:  # it does not fit this torch
        pytest.skip(f"torchvision cannot be used: {error}")
    return nms


@pytest.mark.parametrize("operator", ["torchvision", "plain"])
@given(lattice_boxes(), st.sampled_from([0.0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 1.0]))
def test_every_path_is_the_literal_algorithm(operator, drawn, threshold):
    boxes, scores, groups = drawn
    chosen = plain_nms if operator == "plain" else torchvision_nms()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("easnn.ops.nms._operator", lambda: chosen)
        found = batched_nms(boxes, scores, groups, threshold).tolist()
    assert found == literal_nms(boxes, scores, groups, threshold)


def test_equal_scores_keep_the_earlier_box():
    boxes = torch.tensor([[0.0, 0, 10, 10]] * 3 + [[-20.0, -20, -10, -10]])
    assert batched_nms(boxes, torch.full((4,), 0.5), torch.zeros(4).long(), 0.65).tolist() == [0, 3]


def test_a_long_chain_of_overlaps_is_settled_from_the_best_down():
    # Each box overlaps the next by more than the threshold, and no other: every second one
    # survives.
    x = torch.arange(200.0) * 3
    boxes = torch.stack((x, torch.zeros(200), x + 10, torch.full((200,), 10.0)), dim=1)
    assert plain_nms(boxes, torch.arange(200, 0, -1.0), 0.5).tolist() == list(range(0, 200, 2))


def test_an_overlap_of_exactly_the_threshold_is_allowed():
    boxes = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]])
    scores, group = torch.tensor([0.9, 0.8]), torch.tensor([4, 4])
    assert batched_nms(boxes, scores, group, 0.5).tolist() == [0, 1]
    assert batched_nms(boxes, scores, group, 0.499).tolist() == [0]


def test_groups_do_not_suppress_each_other():
    boxes = torch.tensor([[-30.0, -30, 10, 10]] * 3)
    assert batched_nms(
        boxes, torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0, 7, 7]), 0.5
    ).tolist() == [2, 0]


def test_no_boxes_are_kept_of_none():
    assert batched_nms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long(), 0.5).tolist() == []


def outputs_of(*anchors):
    return torch.tensor(anchors)[None]


def test_score_is_objectness_times_the_best_class():
    (detections,) = select_detections(outputs_of([10.0, 20, 4, 6, 0.5, 0.2, 0.8]), 0.4, 0.65)
    torch.testing.assert_close(detections, torch.tensor([[8.0, 17, 12, 23, 0.4, 1]]))


def test_confidence_is_inclusive_and_only_the_best_class_counts():
    outputs = outputs_of([10.0, 20, 4, 6, 0.5, 0.5, 0.25], [50.0, 20, 4, 6, 0.5, 0.25, 0.25])
    (detections,) = select_detections(outputs, 0.25, 0.65)
    assert detections[:, 4:].tolist() == [[0.25, 0]]


def test_images_without_detections_give_empty_tensors():
    outputs = torch.zeros(3, 5, 7)
    outputs[1, 2] = torch.tensor([10.0, 10, 4, 4, 1, 0, 1])
    assert [tuple(d.shape) for d in select_detections(outputs, 0.1, 0.65)] == [
        (0, 6),
        (1, 6),
        (0, 6),
    ]
    assert [tuple(d.shape) for d in select_detections(torch.zeros(2, 0, 7), 0.1, 0.65)] == [
        (0, 6),
        (0, 6),
    ]


def test_suppression_is_per_image_and_class_and_sorted():
    box = [10.0, 10, 4, 4]
    same = [[*box, 1, 0.5, 0], [*box, 1, 0.7, 0], [*box, 1, 0, 0.6]]
    first, second = select_detections(torch.tensor([same, same[::-1]]), 0.1, 0.65)
    torch.testing.assert_close(first[:, 4:], torch.tensor([[0.7, 0], [0.6, 1]]))
    assert second.equal(first)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_no_detections(bad):
    fine = [10.0, 10, 4, 4, 1, 0.5, 0]
    outputs = outputs_of([10.0, 10, bad, 4, 1, 0.9, 0], [10.0, 10, 4, 4, bad, 0.9, 0], fine)
    (detections,) = select_detections(outputs, 0.1, 0.65)
    assert detections[:, 4].tolist() == [0.5]


def test_caps_keep_the_beginning_of_the_whole_result():
    generator = torch.Generator().manual_seed(3)
    outputs = torch.rand(2, 500, 9, generator=generator)
    outputs[..., :4] = outputs[..., :4] * 60 + 1
    whole = select_detections(outputs, 0.01, 0.5)
    fewer = select_detections(outputs, 0.01, 0.5, max_detections=20)
    pruned = select_detections(outputs, 0.01, 0.5, max_candidates=100)
    for image in range(2):
        assert len(whole[image]) > 100 > len(pruned[image]) > 20
        assert fewer[image].equal(whole[image][:20])
        assert pruned[image].equal(whole[image][: len(pruned[image])])


def test_whole_batch_equals_its_images():
    outputs = torch.rand(3, 200, 7, generator=torch.Generator().manual_seed(5))
    outputs[..., :4] *= 50
    together = select_detections(outputs, 0.05, 0.5)
    for image in range(3):
        assert together[image].equal(select_detections(outputs[image : image + 1], 0.05, 0.5)[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_agrees_with_cpu():
    outputs = torch.rand(3, 200, 7, generator=torch.Generator().manual_seed(5))
    outputs[..., :4] *= 50
    on_gpu = select_detections(outputs.cuda(), 0.05, 0.5)
    for ours, theirs in zip(on_gpu, select_detections(outputs, 0.05, 0.5), strict=True):
        torch.testing.assert_close(ours.cpu(), theirs)
