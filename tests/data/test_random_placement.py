"""Zoom, distortion and erasing of training samples; test_augment.py tests the plain placement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds, sizes_hw

from easnn.data import Distortion, Erasing, LetterboxPolicy, RandomPlacementPolicy, Zoom
from easnn.ops import letterbox_placement, place_boxes
from easnn.utils.seeding import generator

GEN1_HW, OUT_HW = (240, 304), (256, 320)
PLAIN = RandomPlacementPolicy(OUT_HW, jitter=0.3)
BOXES = np.array([[20, 30, 40, 50], [250, 150, 30, 60]], np.float32)


def draw(policy, count=1000, boxes=BOXES):
    return [policy(GEN1_HW, generator(5, "placement", 0, index), boxes) for index in range(count)]


def factors(placements):
    return np.array([p.width_px for p in placements]) / 320


def test_without_zoom_the_boxes_have_no_effect():
    assert draw(PLAIN, 20) == draw(PLAIN, 20, BOXES[:0])
    rng = np.random.default_rng(0)
    assert LetterboxPolicy(OUT_HW)(GEN1_HW, rng, BOXES) == letterbox_placement(GEN1_HW, OUT_HW)


def test_samples_that_are_not_zoomed_are_placed_as_without_zoom():
    plain, some = draw(PLAIN), draw(replace(PLAIN, zoom=Zoom(prob=0.5)))
    same = np.mean([a == b for a, b in zip(plain, some, strict=True)])
    assert same == pytest.approx(0.5, abs=0.05)
    assert [p.flip for p in plain] == [p.flip for p in some]


def test_the_zoom_has_the_published_distribution():
    zoomed = factors(draw(replace(PLAIN, zoom=Zoom(prob=1.0))))
    inwards, outwards = zoomed[zoomed > 1], zoomed[zoomed < 1]
    assert len(inwards) / len(zoomed) == pytest.approx(0.8, abs=0.04)
    assert 1 <= inwards.min() < 1.01
    assert 1.49 < inwards.max() < 1.5
    assert inwards.mean() == pytest.approx(1.25, abs=0.02)
    assert 1 / 1.2 - 0.005 < outwards.min() < 0.85
    assert (1 / outwards).mean() == pytest.approx(1.1, abs=0.02)


def test_zooming_by_one_fills_the_input():
    policy = replace(PLAIN, zoom=Zoom(1.0, 0.5, (1, 1), (1, 1)))
    sizes = {(p.height_px, p.width_px, p.left_px) for p in draw(policy, 50)}
    assert sizes == {(252, 320, 0)}


def test_zooming_in_shows_each_box_of_the_sample_as_often():
    policy = replace(PLAIN, zoom=Zoom(1.0, 1.0, (4, 4)), flip_prob=0.0)
    lefts = np.array([p.left_px for p in draw(policy)])
    first = -lefts <= 20 * 1280 / 304
    assert first.mean() == pytest.approx(0.5, abs=0.05)
    assert (-lefts[~first] + 320 >= 280 * 1280 / 304).all()
    assert len(set(lefts)) > 100


def test_zooming_in_without_a_box_shows_any_part():
    policy = replace(PLAIN, zoom=Zoom(1.0, 1.0, (4, 4)))
    lefts = np.array([p.left_px for p in draw(policy, boxes=BOXES[:0])])
    assert -960 <= lefts.min() < -950
    assert -10 < lefts.max() <= 0
    assert lefts.mean() == pytest.approx(-480, abs=25)


@given(
    sizes_hw(60),
    st.tuples(st.integers(32, 96), st.integers(32, 96)),
    st.floats(1, 8),
    st.booleans(),
    st.tuples(*[st.floats(-20, 60, width=32)] * 2, *[st.floats(1, 50, width=32)] * 2),
    seeds,
)
def test_the_box_is_in_the_input_or_the_input_in_the_box(in_hw, out_hw, factor, flip, box, seed):
    zoom = Zoom(1.0, 1.0, (factor, factor))
    policy = RandomPlacementPolicy(out_hw, 0.3, flip_prob=float(flip), zoom=zoom)
    boxes = np.array([box], np.float32)
    placement = policy(in_hw, np.random.default_rng(seed), boxes)
    x, y, w, h = place_boxes(torch.tensor([[box]]).double(), [placement], in_hw)[0, 0].tolist()
    for start, length, offset, side, out in (
        (y, h, placement.top_px, placement.height_px, out_hw[0]),
        (x, w, placement.left_px, placement.width_px, out_hw[1]),
    ):
        assert min(out - side, 0) <= offset <= max(out - side, 0)
        # The part of the box that lies in the image.
        first, last = (min(max(end, offset), offset + side) for end in (start, start + length))
        shown = min(last, out) - max(first, 0)
        assert shown > min(last - first, out) - 1.001  # offsets are whole pixels


def test_a_distortion_leaves_the_placement():
    distorted = draw(replace(PLAIN, distortion=Distortion(rotation_deg=30, shear_deg=30)))
    assert [replace(p, warp=None) for p in distorted] == draw(PLAIN)
    assert {p.warp for p in draw(PLAIN, 20)} == {None}


def test_the_angles_have_the_declared_distribution():
    distorted = draw(replace(PLAIN, distortion=Distortion(30, 0.6, 20, 0.3)))
    for name, most, prob in (("rotation_deg", 30, 0.6), ("shear_deg", 20, 0.3)):
        angles = np.array([getattr(p.warp, name) for p in distorted])
        drawn = angles[angles != 0]
        assert len(drawn) / len(angles) == pytest.approx(prob, abs=0.04)
        assert -most <= drawn.min() < -0.97 * most
        assert 0.97 * most < drawn.max() <= most
        assert drawn.mean() == pytest.approx(0, abs=0.1 * most)


def test_every_sample_has_a_warp_if_some_may_be_turned():
    drawn = draw(replace(PLAIN, distortion=Distortion(rotation_deg=30, rotation_prob=0.0)), 20)
    assert {(p.warp.rotation_deg, p.warp.shear_deg) for p in drawn} == {(0, 0)}


def test_the_centre_is_that_of_what_the_input_shows():
    turned = Distortion(rotation_deg=30)
    inside = RandomPlacementPolicy(OUT_HW, 0, (0.5, 0.5), distortion=turned)
    for p in draw(inside, 20):
        assert p.warp.centre_px == (p.left_px + p.width_px / 2, p.top_px + p.height_px / 2)
    beyond = RandomPlacementPolicy(OUT_HW, 0, (3, 3), distortion=turned)
    assert {p.warp.centre_px for p in draw(beyond, 20)} == {(160, 128)}


def test_erasing_has_the_declared_distribution():
    erasing = draw(replace(PLAIN, erasing=Erasing(0.4, (0.02, 0.1))), 2000)
    assert [replace(p, erased=None) for p in erasing] == draw(PLAIN, 2000)
    erased = [p.erased for p in erasing if p.erased]
    assert len(erased) / len(erasing) == pytest.approx(0.4, abs=0.03)
    tops, lefts, heights, widths = np.array(
        [(e.top_px, e.left_px, e.height_px, e.width_px) for e in erased]
    ).T
    assert min(tops.min(), lefts.min()) >= 0
    assert (tops + heights).max() <= 256
    assert (lefts + widths).max() <= 320
    shares = heights * widths / (256 * 320)
    assert 0.019 < shares.min() < 0.022
    assert 0.098 < shares.max() < 0.102
    aspects = np.log(heights / widths)
    assert abs(aspects).max() == pytest.approx(np.log(10 / 3), abs=0.03)
    assert aspects.mean() == pytest.approx(0, abs=0.08)
    assert (tops / (256 - heights)).mean() == pytest.approx(0.5, abs=0.04)


@given(st.tuples(st.integers(1, 60), st.integers(1, 60)), st.floats(0.001, 1), seeds)
def test_what_is_erased_lies_in_the_input(out_hw, share, seed):
    erased = Erasing(1.0, (share, share)).draw(out_hw, np.random.default_rng(seed))
    assert erased.top_px >= 0
    assert erased.left_px >= 0
    assert 1 <= erased.height_px <= out_hw[0] - erased.top_px
    assert 1 <= erased.width_px <= out_hw[1] - erased.left_px
