from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from easnn.ops import Placement, Rectangle, Warp, letterbox_placement, place_boxes, place_frames

CV2 = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}


def paste(image, placement, out_hw, interpolation):
    """What ``place_frames`` does to one image, with OpenCV and slices."""
    resized = cv2.resize(
        image, (placement.width_px, placement.height_px), interpolation=CV2[interpolation]
    )
    if placement.flip:
        resized = resized[:, ::-1]
    # A margin around the frame takes what lies outside of it.
    margin = 1000
    canvas = np.zeros((out_hw[0] + 2 * margin, out_hw[1] + 2 * margin), resized.dtype)
    top, left = placement.top_px + margin, placement.left_px + margin
    canvas[top : top + placement.height_px, left : left + placement.width_px] = resized
    return canvas[margin : margin + out_hw[0], margin : margin + out_hw[1]]


def test_letterboxed_golden_frames(golden):
    expected = np.load(golden / "data" / "gen1_expected.npz")
    names = [key.split("|")[2] for key in expected.files if key.startswith("letterboxed|a|")]
    assert len(names) >= 10
    raw = np.zeros((len(names), 1, 4, 2, 240, 304), np.uint8)
    for frames, name in zip(raw, names, strict=True):
        key = f"micro_sum|a|{name}|raw_nz"
        frames.flat[expected[f"{key}_index"]] = expected[f"{key}_value"]
    placement = letterbox_placement((240, 304), (256, 320))
    placed = place_frames(torch.from_numpy(raw), [placement] * len(names), (256, 320)).numpy()
    for frames, name in zip(placed, names, strict=True):
        np.testing.assert_allclose(frames, expected[f"letterboxed|a|{name}"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("seed", range(25))
def test_resizes_as_opencv(interpolation, seed):
    rng = np.random.default_rng(seed)
    H, W, h, w = (int(n) for n in rng.integers(2, 150, 4))
    image = rng.poisson(0.5, (H, W)).astype(np.float64)
    placed = place_frames(torch.from_numpy(image)[None], [Placement(h, w)], (h, w), interpolation)
    reference = cv2.resize(image, (w, h), interpolation=CV2[interpolation])
    np.testing.assert_allclose(placed[0].numpy(), reference, rtol=0, atol=1e-4)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize(
    ("dtype", "out_hw"), [(np.uint8, (64, 96)), (np.int16, (33, 40)), (np.float32, (20, 160))]
)
def test_every_image_of_a_batch_has_its_own_placement(interpolation, dtype, out_hw):
    rng = np.random.default_rng(7)
    placements = [
        Placement(40, 60),
        Placement(40, 60, flip=True),
        Placement(17, 300, top_px=5, left_px=-100, flip=True),  # wider than the frame
        Placement(200, 31, top_px=-90, left_px=20),  # taller than the frame
        Placement(30, 30, top_px=-10, left_px=-12),
        Placement(30, 30, top_px=15, left_px=25, flip=True),  # partly outside, bottom right
        Placement(30, 30, top_px=-30, left_px=3),  # wholly outside
        Placement(1, 1, top_px=4, left_px=4),
    ]
    frames = rng.poisson(2.0, (len(placements), 2, 3, 48, 61)).astype(dtype)
    placed = place_frames(torch.from_numpy(frames), placements, out_hw, interpolation).numpy()
    assert placed.shape == (len(placements), 2, 3, *out_hw)
    assert placed.dtype == np.float32
    for b, placement in enumerate(placements):
        for k in np.ndindex(2, 3):
            reference = paste(frames[b][k].astype(np.float64), placement, out_hw, interpolation)
            np.testing.assert_allclose(placed[b][k], reference, rtol=0, atol=1e-4)


def test_placing_at_the_same_size_copies():
    frames = torch.arange(2 * 5 * 7, dtype=torch.int16).view(2, 5, 7)
    for interpolation in ("linear", "cubic"):
        placed = place_frames(
            frames, [Placement(5, 7), Placement(5, 7, flip=True)], (5, 7), interpolation
        )
        assert placed[0].equal(frames[0].float())
        assert placed[1].equal(frames[1].flip(-1).float())


def test_result_has_the_wanted_type_and_the_input_stays():
    frames = torch.ones(1, 2, 8, 8, dtype=torch.uint8)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        placed = place_frames(frames, [Placement(4, 4)], (4, 6), dtype=dtype)
        assert placed.dtype == dtype
        assert placed[..., :4].eq(1).all()
        assert placed[..., 4:].eq(0).all()
    assert frames.eq(1).all()


@pytest.mark.parametrize("flip", [False, True])
def test_frames_and_boxes_move_together(flip):
    frames = torch.zeros(1, 1, 100, 120)
    frames[0, 0, 20:60, 30:40] = 1
    placement = Placement(200, 360, top_px=-15, left_px=11, flip=flip)
    placed = place_frames(frames, [placement], (256, 384))[0, 0]
    x, y, w, h = place_boxes(torch.tensor([[[30.0, 20, 10, 40]]]), [placement], (100, 120))[
        0, 0
    ].tolist()
    rows, columns = (placed > 0.5).nonzero().T
    assert (rows.min(), rows.max() + 1) == (y, y + h)
    assert (columns.min(), columns.max() + 1) == (x, x + w)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("warp", [None, Warp((40, 30), 20, 10)])
def test_gpu_agrees_with_cpu(interpolation, warp):
    frames = torch.randint(0, 9, (3, 4, 2, 48, 61), dtype=torch.uint8)
    placements = [
        Placement(40, 60, warp=warp),
        Placement(90, 30, -20, 5, flip=True, warp=warp, erased=Rectangle(1, 2, 30, 40)),
        Placement(30, 200, 9, -50),
    ]
    on_gpu = place_frames(frames.cuda(), placements, (64, 96), interpolation)
    assert on_gpu.is_cuda
    torch.testing.assert_close(
        on_gpu.cpu(), place_frames(frames, placements, (64, 96), interpolation)
    )
