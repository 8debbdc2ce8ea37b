from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import placements, seeds, sizes_hw

from easnn.data import (
    DetectionSample,
    LetterboxPolicy,
    RandomPlacementPolicy,
    collate,
    prepare_batch,
)
from easnn.ops import Placement, Rectangle, Warp, place_boxes
from easnn.utils.seeding import generator

GEN1_HW = (240, 304)


def draw(policy, count=2000, in_hw=GEN1_HW):
    return [policy(in_hw, generator(5, "placement", 0, index)) for index in range(count)]


def batch_of(*placements, events=None, boxes=()):
    events = torch.ones(1, 1, 1, 20, 40, dtype=torch.uint8) if events is None else events
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 5)
    return collate([DetectionSample(events, boxes, p, i, 0, "s") for i, p in enumerate(placements)])


def test_letterbox_fills_the_input_from_the_top_left():
    assert LetterboxPolicy((256, 320))(GEN1_HW, np.random.default_rng(0)) == Placement(252, 320)


def test_random_placement_without_freedom_is_the_whole_input():
    policy = RandomPlacementPolicy((240, 304), jitter=0.0, scale_range=(1.0, 1.0), flip_prob=0.0)
    assert set(draw(policy, 20)) == {Placement(240, 304)}


def test_random_placement_has_the_published_distribution():
    out_hw = (640, 640)
    placements = draw(RandomPlacementPolicy(out_hw, jitter=0.3))
    heights, widths, tops, lefts = np.array(
        [(p.height_px, p.width_px, p.top_px, p.left_px) for p in placements]
    ).T
    aspects = widths / heights / (304 / 240)
    assert 0.7 / 1.3 * 0.98 < aspects.min() < 0.6
    assert 1.6 < aspects.max() < 1.3 / 0.7 * 1.02
    longer = np.maximum(heights, widths) / 640
    assert 0.397 < longer.min() < 0.41
    assert 0.99 < longer.max() <= 1
    assert longer.mean() == pytest.approx(0.7, abs=0.02)
    for offset, side in ((tops, heights), (lefts, widths)):
        assert (offset >= 0).all()
        assert (offset + side <= 640).all()
        assert (offset / np.maximum(640 - side, 1)).mean() == pytest.approx(0.5, abs=0.03)
    assert np.mean([p.flip for p in placements]) == pytest.approx(0.5, abs=0.04)


def test_a_side_that_exceeds_the_input_still_fills_it():
    placements = draw(RandomPlacementPolicy((256, 320), jitter=0.3, scale_range=(1.0, 1.0)))
    larger = [p for p in placements if p.height_px > 256]
    assert larger
    assert {p.top_px <= 0 and p.top_px + p.height_px >= 256 for p in larger} == {True}
    assert len({p.top_px for p in larger}) > 10


@pytest.mark.parametrize("flip_prob", [0.0, 1.0])
def test_flip_probability(flip_prob):
    placements = draw(RandomPlacementPolicy((64, 64), jitter=0.1, flip_prob=flip_prob), 50)
    assert {p.flip for p in placements} == {bool(flip_prob)}


def test_placement_depends_on_the_samples_own_numbers_alone():
    policy = RandomPlacementPolicy((256, 320), jitter=0.3)
    assert draw(policy, 5) == draw(policy, 5)
    assert len(set(draw(policy, 50))) == 50


OUT_HW = (24, 40)
policies = st.builds(
    RandomPlacementPolicy,
    st.just(OUT_HW),
    st.floats(0, 0.9),
    st.tuples(st.floats(0.05, 1), st.floats(1, 2)),
    st.floats(0, 1),
)


@st.composite
def placed_boxes(draw):
    """A sensor, a box of whole pixels inside of it, and a placement: any, or one of a policy."""
    in_hw = draw(sizes_hw(20))
    (top, bottom), (left, right) = (
        sorted(draw(st.lists(st.integers(0, side), min_size=2, max_size=2, unique=True)))
        for side in in_hw
    )
    policy = st.one_of(st.just(LetterboxPolicy(OUT_HW)), policies)
    chosen = st.builds(lambda p, seed: p(in_hw, np.random.default_rng(seed)), policy, seeds)
    return in_hw, (top, bottom, left, right), draw(st.one_of(placements(60), chosen))


def inside(points_px, start_px, length_px):
    """Return which points lie in an interval; and which of them are too near to its ends to say."""
    ends = torch.tensor([start_px, start_px + length_px], dtype=torch.float64)
    unclear = ((points_px[:, None] - ends).abs() < 1e-3).any(dim=1)
    return (ends[0] < points_px) & (points_px < ends[1]), unclear


@given(placed_boxes())
def test_boxes_follow_their_frame(drawn):
    """A pixel is brighter than one half exactly if its centre lies in the box.

    That holds for linear interpolation, along each axis: so channel 0 is bright in the columns of
    the box, and channel 1 in its rows.
    """
    in_hw, (top, bottom, left, right), placement = drawn
    events = torch.zeros(1, 1, 2, *in_hw, dtype=torch.uint8)
    events[:, :, 0, :, left:right] = 1
    events[:, :, 1, top:bottom, :] = 1
    box = [1, left, top, right - left, bottom - top]
    frames, targets = prepare_batch(batch_of(placement, events=events, boxes=[box]), OUT_HW)
    in_columns, in_rows = frames[0, 0, 0] > 0.5

    [[[x, y, w, h]]] = place_boxes(
        torch.tensor([[box[1:]]], dtype=torch.float64), [placement], in_hw
    ).tolist()
    columns_px = torch.arange(OUT_HW[1], dtype=torch.float64) + 0.5
    rows_px = torch.arange(OUT_HW[0], dtype=torch.float64) + 0.5
    in_frame = (
        inside(columns_px, placement.left_px, placement.width_px)[0]
        & (inside(rows_px, placement.top_px, placement.height_px)[0][:, None])
    )
    column, column_unclear = inside(columns_px, x, w)
    row, row_unclear = inside(rows_px, y, h)
    assert (in_columns == (column & in_frame))[:, ~column_unclear].all()
    assert (in_rows == (row[:, None] & in_frame))[~row_unclear].all()

    x1, x2 = (min(max(edge, 0), OUT_HW[1]) for edge in (x, x + w))
    y1, y2 = (min(max(edge, 0), OUT_HW[0]) for edge in (y, y + h))
    sides = x2 - x1, y2 - y1
    expected = [1, (x1 + x2) / 2, (y1 + y2) / 2, *sides] if min(sides) > 1 else [0.0] * 5
    if abs(min(sides) - 1) > 1e-4:
        assert targets[0, 0].tolist() == pytest.approx(expected, abs=1e-4)


def test_float_frames_are_placed_as_the_same_numbers_in_integers():
    counts = torch.from_numpy(np.random.default_rng(0).integers(-3, 9, (1, 2, 2, 20, 40)))
    placement = Placement(30, 50, top_px=20, left_px=35, flip=True)
    (floats, _), (integers, _) = (
        prepare_batch(batch_of(placement, events=counts.to(dtype)), (64, 96))
        for dtype in (torch.float16, torch.int16)
    )
    assert floats.dtype == torch.float32
    assert floats.equal(integers)


def test_boxes_are_clipped_and_go_with_a_side_of_at_most_one_pixel():
    boxes = [
        [0, -5, -5, 10, 10],  # clipped at the corner
        [1, 39, 5, 10, 3],  # one pixel is left of it
        [1, 38.5, 5, 10, 3],
        [0, -20, 5, 10, 3],  # outside
        [1, 3, 4, 5, 1],  # one pixel high
    ]
    _, targets = prepare_batch(batch_of(Placement(20, 40), boxes=boxes), (20, 40), max_boxes=4)
    assert targets[0].tolist() == [[0, 2.5, 2.5, 5, 5], [1, 39.25, 6.5, 1.5, 3], [0] * 5, [0] * 5]


def test_boxes_need_the_smallest_visible_share():
    boxes = [
        [0, -5, -5, 10, 10],  # a quarter
        [1, 0, 0, 40, 20],  # all of it
        [0, 30, 5, 20, 4],  # half
        [1, 36, 5, 2, 0.5],  # all of it, but less than one pixel high
    ]

    def classes_and_lefts(min_visible):
        batch = batch_of(Placement(20, 40), boxes=boxes)
        _, targets = prepare_batch(batch, (20, 40), min_visible=min_visible)
        return [(row[0], row[1] - row[3] / 2) for row in targets[0].tolist() if any(row)]

    assert classes_and_lefts(0.0) == classes_and_lefts(0.25) == [(0, 0), (1, 0), (0, 30)]
    assert classes_and_lefts(0.26) == classes_and_lefts(0.5) == [(1, 0), (0, 30)]
    assert classes_and_lefts(0.51) == classes_and_lefts(1.0) == [(1, 0)]


@given(placements(60), seeds, st.floats(0, 1))
def test_the_visible_share_is_that_of_the_area(placement, seed, min_visible):
    rng = np.random.default_rng(seed)
    rows = np.column_stack((np.arange(8), rng.uniform(-10, 40, (8, 2)), rng.uniform(1, 30, (8, 2))))
    batch = batch_of(placement, boxes=rows)
    every, some = (prepare_batch(batch, OUT_HW, min_visible=m)[1][0] for m in (0.0, min_visible))
    placed = place_boxes(batch.boxes[..., 1:], [placement], (20, 40))[0]
    whole = {number: w * h for number, (_, _, w, h) in enumerate(placed.tolist())}
    shares = [(row, row[3] * row[4] / whole[row[0]]) for row in every.tolist() if any(row)]
    kept = [row for row in some.tolist() if any(row)]
    assert kept == [row for row in every.tolist() if row in kept]
    for row, share in shares:
        if abs(share - min_visible) > 1e-4:
            assert (row in kept) == (share > min_visible)


def test_erased_parts_of_boxes_are_not_visible():
    boxes = [[0, 0, 0, 10, 10], [1, 20, 5, 10, 10], [0, 8, 8, 4, 4], [1, 35, 15, 10, 10]]
    placement = Placement(20, 40, erased=Rectangle(5, 5, 10, 10))

    def kept(min_visible, *placements):
        batch = batch_of(*placements, boxes=boxes)
        _, targets = prepare_batch(batch, (20, 40), min_visible=min_visible)
        numbers = {5: 0, 25: 1, 10: 2, 37.5: 3}  # by the centre x
        return [[numbers[row[1]] for row in rows if any(row)] for rows in targets.tolist()]

    assert kept(0.0, placement) == [[0, 1, 2, 3]]
    assert kept(0.25, placement) == [[0, 1, 3]]
    assert kept(0.5, placement) == [[0, 1]]
    assert kept(0.75, placement) == [[0, 1]]
    assert kept(0.76, placement, Placement(20, 40)) == [[1], [0, 1, 2]]


def test_targets_of_a_warped_frame_are_clipped_hulls():
    warp = Warp((10, 10), rotation_deg=90)
    batch = batch_of(Placement(20, 40, warp=warp), boxes=[[1, 2, 4, 6, 3], [0, 14, 0, 10, 8]])
    _, targets = prepare_batch(batch, (20, 40))
    assert targets[0, :2].tolist() == [
        pytest.approx([1, 14.5, 5, 3, 6], abs=1e-5),
        pytest.approx([0, 16, 17, 8, 6], abs=1e-5),  # 10 high, 6 of it in the input
    ]


def test_targets_have_a_fixed_number_of_rows():
    boxes = [[0, k, 2, 4, 4] for k in range(6)]
    batch = batch_of(Placement(20, 40), boxes=boxes)
    assert prepare_batch(batch, (20, 40))[1].shape == (1, 50, 5)
    first = prepare_batch(batch, (20, 40), max_boxes=2)[1]
    assert first[0].tolist() == [[0, 2, 4, 4, 4], [0, 3, 4, 4, 4]]
    none = prepare_batch(batch_of(Placement(20, 40)), (20, 40))[1]
    assert none.shape == (1, 50, 5)
    assert not none.any()


def test_each_sample_has_its_own_placement():
    frames, targets = prepare_batch(
        batch_of(Placement(20, 40), Placement(10, 20, 10, 20), boxes=[[0, 0, 0, 40, 20]]), (20, 40)
    )
    assert frames.shape == (2, 1, 1, 1, 20, 40)
    assert frames.sum(dim=(1, 2, 3, 4, 5)).tolist() == [800, 200]
    assert targets[:, 0].tolist() == [[0, 20, 10, 40, 20], [0, 30, 15, 20, 10]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_prepare_leaves_the_batch_and_makes_the_wanted_type(dtype):
    batch = batch_of(Placement(20, 40), boxes=[[0, -5, 2, 40, 20]])
    events, boxes = batch.events.clone(), batch.boxes.clone()
    results = prepare_batch(batch, (20, 40), dtype=dtype)
    assert {result.dtype for result in results} == {dtype}
    assert batch.events.equal(events)
    assert batch.boxes.equal(boxes)
