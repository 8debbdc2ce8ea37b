from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import placements, seeds, sizes_hw, warps

from easnn.ops import (
    Placement,
    Rectangle,
    Warp,
    place_boxes,
    place_frames,
    unplace_boxes,
    warp_boxes,
    xywh_to_xyxy,
)

OUT_HW = (24, 40)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_a_quarter_turn_is_clockwise(interpolation):
    frames = torch.from_numpy(np.random.default_rng(0).poisson(2.0, (1, 3, 8, 8)))
    turned = Placement(8, 8, warp=Warp((4, 4), rotation_deg=90))
    placed = place_frames(frames, [turned], (8, 8), interpolation)
    torch.testing.assert_close(placed, frames.rot90(-1, (-2, -1)).float(), rtol=0, atol=1e-5)
    box = torch.tensor([[[1.0, 2, 3, 4]]])  # its top left corner goes to the top right
    torch.testing.assert_close(place_boxes(box, [turned], (8, 8)), torch.tensor([[[2.0, 1, 4, 3]]]))


def test_a_shear_moves_rows_about_the_centre():
    warp = Warp((10, 5), shear_deg=45)
    boxes = torch.tensor([[[10.0, 5, 12, 9], [0, 0, 2, 2]]])
    torch.testing.assert_close(
        warp_boxes(boxes, [warp]), torch.tensor([[[10.0, 5, 16, 9], [-5, 0, -1, 2]]])
    )
    frames = torch.zeros(1, 10, 20)
    frames[0, 6, 3] = 1
    placed = place_frames(frames, [Placement(10, 20, warp=warp)], (10, 20))
    # The centre of the row is 1.5 px below the fixed point.
    assert placed[0, 6, 3:6].tolist() == pytest.approx([0, 0.5, 0.5], abs=1e-5)


def test_the_shear_comes_before_the_rotation():
    a = np.deg2rad([30, 20])
    turn = np.array([[math.cos(a[0]), -math.sin(a[0])], [math.sin(a[0]), math.cos(a[0])]])
    slant = np.array([[1, math.tan(a[1])], [0, 1]])
    np.testing.assert_allclose(Warp((0, 0), 30, 20).matrix(), turn @ slant)


@given(warps(40))
def test_the_inverse_is_one(warp):
    product = np.array(warp.matrix()) @ np.array(warp.inverse())
    np.testing.assert_allclose(product, np.eye(2), atol=1e-9)


def test_the_hull_of_a_turned_square():
    square = torch.tensor([[[-1.0, -1, 1, 1]]])
    [[hull]] = warp_boxes(square, [Warp((0, 0), 30)]).tolist()
    half = math.cos(math.pi / 6) + math.sin(math.pi / 6)
    assert hull == pytest.approx([-half, -half, half, half])
    assert half**2 == pytest.approx(1.87, abs=0.005)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@given(sizes_hw(30), placements(60), seeds)
def test_a_warp_by_nothing_changes_nothing(interpolation, in_hw, placement, seed):
    rng = np.random.default_rng(seed)
    frames = torch.from_numpy(rng.poisson(1.0, (1, 2, *in_hw)).astype(np.uint8))
    boxes = torch.from_numpy(rng.uniform((-5, -5, 0, 0), 30, (1, 4, 4)))
    same = replace(placement, warp=Warp((20, 12)))
    for place, what, rest in (
        (place_frames, frames, (OUT_HW, interpolation, torch.float64)),
        (place_boxes, boxes, (in_hw,)),
    ):
        torch.testing.assert_close(
            place(what, [same], *rest), place(what, [placement], *rest), rtol=0, atol=1e-6
        )


def corners_of(box_xywh, placement, in_hw):
    """The corners of a box after its placement, as complex numbers x + iy, in order around it."""
    x, y, w, h = box_xywh
    points = np.array([x + 1j * y, x + w + 1j * y, x + w + 1j * (y + h), x + 1j * (y + h)])
    across, down = points.real / in_hw[1], points.imag / in_hw[0]
    across = 1 - across if placement.flip else across
    points = placement.left_px + across * placement.width_px
    points = points + 1j * (placement.top_px + down * placement.height_px)
    centre = complex(*placement.warp.centre_px)
    points = points - centre
    points = points + points.imag * math.tan(math.radians(placement.warp.shear_deg))
    return centre + points * np.exp(1j * math.radians(placement.warp.rotation_deg))


def inside(corners):
    """Which pixel centres lie in a convex quadrilateral, and which too near to its border to say.

    A point is inside if all sides are passed on the same hand.
    """
    pixel = np.arange(OUT_HW[1]) + 0.5 + 1j * (np.arange(OUT_HW[0])[:, None] + 0.5)
    sides = np.roll(corners, -1) - corners
    hands = np.stack(
        [
            ((pixel - corner) / (side / abs(side))).imag
            for corner, side in zip(corners, sides, strict=True)
        ]
    )
    return (hands > 0).all(axis=0) | (hands < 0).all(axis=0), (abs(hands) < 1e-3).any(axis=0)


@given(sizes_hw(20), placements(60), warps(30), st.data())
def test_frames_and_boxes_move_together(in_hw, placement, warp, data):
    """Along each axis, a pixel is brighter than one half exactly if its centre is in the box."""
    placement = replace(placement, warp=warp)
    (top, bottom), (left, right) = (
        sorted(data.draw(st.lists(st.integers(0, side), min_size=2, max_size=2, unique=True)))
        for side in in_hw
    )
    frames = torch.zeros(1, 2, *in_hw, dtype=torch.uint8)
    frames[:, 0, :, left:right] = 1
    frames[:, 1, top:bottom, :] = 1
    placed = place_frames(frames, [placement], OUT_HW, dtype=torch.float64)[0] > 0.5
    height, width = in_hw
    for bright, strip in (
        (placed[0], (left, 0, right - left, height)),
        (placed[1], (0, top, width, bottom - top)),
    ):
        expected, unclear = inside(corners_of(strip, placement, in_hw))
        assert (bright.numpy() == expected)[~unclear].all()

    box = (left, top, right - left, bottom - top)
    corners = corners_of(box, placement, in_hw)
    hull = [corners.real.min(), corners.imag.min(), corners.real.max(), corners.imag.max()]
    found = xywh_to_xyxy(place_boxes(torch.tensor([[box]]).double(), [placement], in_hw))
    assert found[0, 0].tolist() == pytest.approx(hull, abs=1e-6)


def test_images_without_a_warp_in_a_batch_with_one():
    boxes = torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(0)) * 20
    plain = Placement(20, 30, 3, -2, True)
    both = place_boxes(boxes, [plain, replace(plain, warp=Warp((1, 2), 10))], OUT_HW)
    torch.testing.assert_close(both[0], place_boxes(boxes[:1], [plain], OUT_HW)[0])
    frames = torch.from_numpy(np.random.default_rng(1).poisson(2.0, (2, 1, 9, 9)))
    together = place_frames(frames, [plain, replace(plain, warp=Warp((1, 2), 10))], OUT_HW)
    torch.testing.assert_close(
        together[0], place_frames(frames[:1], [plain], OUT_HW)[0], rtol=0, atol=1e-4
    )


def test_a_warped_image_does_not_depend_on_its_batch():
    frames = torch.from_numpy(np.random.default_rng(1).poisson(2.0, (3, 1, 9, 9)))
    drawn = [Placement(20, 30, 3, -2, warp=Warp((12, 9), angle, 5)) for angle in (0, 20, -70)]
    together = place_frames(frames, drawn, OUT_HW)
    for number, placement in enumerate(drawn):
        alone = place_frames(frames[number : number + 1], [placement], OUT_HW)
        assert together[number].equal(alone[0])


def test_erased_pixels_are_zero():
    frames = torch.ones(2, 3, 10, 10)
    placement = Placement(10, 10, erased=Rectangle(1, 2, 3, 4))
    placed = place_frames(frames, [placement, Placement(10, 10)], (10, 10))
    expected = torch.ones(10, 10)
    expected[1:4, 2:6] = 0
    assert placed[0].eq(expected).all()
    assert placed[1].eq(1).all()


def test_boxes_in_a_warped_image_have_no_inverse():
    with pytest.raises(ValueError, match=r"^Boxes in a warped image cannot be converted to "):
        unplace_boxes(torch.zeros(1, 1, 4), [Placement(8, 8, warp=Warp((4, 4)))], (8, 8))
