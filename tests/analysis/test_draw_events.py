from __future__ import annotations

import numpy as np
import pytest

from easnn.analysis import draw_embedding, draw_events, draw_frame
from easnn.analysis.frames import frame_caption, written_share
from easnn.analysis.palette import BACKGROUND, OFF, ON
from easnn.representations import FrameSpec


def test_one_event_covers_two_fifths_of_the_ground() -> None:
    counts = np.zeros((2, 2, 3), np.uint8)
    counts[1, 0, 0] = 1  # ON
    counts[0, 1, 2] = 1  # OFF
    picture = draw_events(counts)
    expected = np.full((2, 3, 3), BACKGROUND)
    expected[0, 0] = np.rint(0.6 * np.array(BACKGROUND) + 0.4 * np.array(ON))
    expected[1, 2] = np.rint(0.6 * np.array(BACKGROUND) + 0.4 * np.array(OFF))
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, expected)


def test_many_events_show_the_pure_colours_and_both_together_are_brighter() -> None:
    counts = np.array([[[200, 0, 200]], [[0, 200, 200]]], np.uint8)
    off, on, both = draw_events(counts)[0].astype(int)
    np.testing.assert_array_equal(off, OFF)
    np.testing.assert_array_equal(on, ON)
    assert (both >= np.maximum(off, on)).all()
    assert both.min() > 200


def test_slices_are_summed_and_counts_do_not_overflow() -> None:
    slices = np.random.default_rng(0).integers(0, 3, (1, 4, 2, 5, 6)).astype(np.uint8)
    np.testing.assert_array_equal(
        draw_events(slices), draw_events(slices.sum(axis=(0, 1), dtype=np.int64))
    )
    full = np.full((4, 2, 1, 1), 64, np.uint8)  # 4 × 64 = 256 is 0 in eight bits
    assert draw_events(full).min() > 200


def test_one_channel_is_signed() -> None:
    signed = np.array([[[-2.0, 0.0, 3.0]]])
    split = np.array([[[2, 0, 0]], [[0, 0, 3]]])
    np.testing.assert_array_equal(draw_events(signed), draw_events(split))


def test_embedding_is_drawn_relative_to_what_it_shows_where_nothing_happens() -> None:
    frame = np.full((2, 8, 8), -1.5)
    frame[1] = 7.0
    frame[0, 2, 3] = 0.5  # OFF channel, 2 from its median
    frame[1, 4, 5] = 5.0  # ON channel, 2 from its median, downwards
    picture = draw_embedding(frame)
    np.testing.assert_array_equal(picture[2, 3], OFF)
    np.testing.assert_array_equal(picture[4, 5], ON)
    picture[2, 3] = picture[4, 5] = BACKGROUND
    np.testing.assert_array_equal(picture, np.broadcast_to(np.uint8(BACKGROUND), picture.shape))


def test_an_embedding_without_any_structure_is_the_ground() -> None:
    picture = draw_embedding(np.full((2, 3, 4), 0.25, np.float32))
    np.testing.assert_array_equal(picture, np.broadcast_to(np.uint8(BACKGROUND), (3, 4, 3)))


def test_share_of_the_pixels_that_were_written() -> None:
    frame = np.full((2, 4, 5), 0.25)
    frame[:, 1, 1] = 3.0
    frame[0, 2, 3] = 0.0
    assert written_share(frame) == 2 / 20


def test_inputs_are_left_alone() -> None:
    counts = np.random.default_rng(0).integers(0, 3, (2, 5, 6)).astype(np.uint8)
    frame = counts.astype(np.float32)
    before = counts.copy()
    draw_events(counts)
    draw_embedding(frame)
    np.testing.assert_array_equal(counts, before)
    np.testing.assert_array_equal(frame, before)


def test_a_voxel_cube_is_drawn_as_the_polarities_of_its_channels() -> None:
    cube = np.array([[[2, 0, 0, 0]], [[0, 2, 0, 0]], [[0, 0, 0, 0]], [[0, 0, 3, 0]]], np.uint8)
    split = np.array([[[2, 1, 0, 0]], [[0, 1, 3, 0]]])
    np.testing.assert_array_equal(
        draw_frame(cube, FrameSpec(aggregation="voxel_cube")), draw_events(split)
    )


def test_of_a_time_surface_the_last_slice_is_drawn_as_strong_as_its_values() -> None:
    surface = np.zeros((1, 2, 2, 1, 3), np.float16)
    surface[0, 0] = 1  # an earlier slice: not seen
    surface[0, 1, 0, 0, 0] = 1  # OFF, just now
    surface[0, 1, 1, 0, 1] = 0.5  # ON
    picture = draw_frame(surface, FrameSpec(aggregation="timesurface"))
    half = np.rint((np.array(BACKGROUND) + np.array(ON)) / 2)
    np.testing.assert_array_equal(picture[0], [OFF, half, BACKGROUND])


def test_an_embedding_of_four_channels_shows_all_of_them() -> None:
    frame = np.zeros((4, 3, 8))
    frame[0, 0, 0] = frame[3, 1, 1] = -2.0
    frame[1, 2, 2] = 4.0
    picture = draw_embedding(frame)
    np.testing.assert_array_equal(picture[0, 0], OFF)
    np.testing.assert_array_equal(picture[1, 1], ON)
    np.testing.assert_array_equal(
        picture[2, 2], draw_embedding(np.repeat(frame[1:2], 2, axis=0))[2, 2]
    )


@pytest.mark.parametrize(
    ("aggregation", "measure", "caption"),
    [
        ("micro_sum", "count", "Events"),
        ("sum", "timesurface", "Events · weaker is older"),
        ("voxel_grid", "count", "Voxel grid · sum of its steps"),
        ("voxel_cube", "count", "Voxel cube · early OFF, late ON, all else as both"),
        ("timesurface", "count", "Time surface · stronger is more recent"),
    ],
)
def test_a_picture_says_what_it_shows(aggregation: str, measure: str, caption: str) -> None:
    assert frame_caption(FrameSpec(aggregation=aggregation, measure=measure)) == caption
