from __future__ import annotations

import numpy as np
import pytest

from easnn.analysis.maps import draw_signed, draw_spikes, draw_steps, full_strength
from easnn.analysis.palette import BACKGROUND, NEGATIVE, OFF, ON, POSITIVE, step_colours


def test_a_step_has_its_colour_and_none_has_that_of_the_ground() -> None:
    picture = draw_steps(np.array([[0, 2, -1]]), 3)
    assert [tuple(pixel) for pixel in picture[0].tolist()] == [
        step_colours(3)[0],
        step_colours(3)[2],
        BACKGROUND,
    ]


@pytest.mark.parametrize("count", [1, 2, 4, 10])
def test_steps_have_colours_of_their_own(count: int) -> None:
    colours = step_colours(count)
    assert len(set(colours)) == count
    assert min(max(colour) for colour in colours) > 2 * max(BACKGROUND)


def test_signs_have_colours_and_sizes_strength() -> None:
    below, nothing, above, more, faint = draw_signed(np.array([[-4.0, 0.0, 4.0, 9.0, 1.0]]), 4.0)[0]
    np.testing.assert_array_equal(below, NEGATIVE)
    np.testing.assert_array_equal(nothing, BACKGROUND)
    np.testing.assert_array_equal(above, POSITIVE)
    np.testing.assert_array_equal(more, POSITIVE)
    np.testing.assert_allclose(faint, (np.array(BACKGROUND) + POSITIVE) / 2, atol=1)


def test_full_strength_is_that_of_nearly_all_values() -> None:
    assert full_strength(np.zeros((2, 3))) == 0
    assert full_strength(np.array([0, 0, 0, -2.0])) == 2
    assert full_strength(np.arange(101.0)) == pytest.approx(98.02)
    np.testing.assert_array_equal(draw_signed(np.zeros((1, 1)), 0.0), [[BACKGROUND]])


def test_spikes_have_the_colour_of_their_channel() -> None:
    off, on, both, none = draw_spikes(np.array([[[1, 0, 1, 0]], [[0, 1, 1, 0]]], bool))[0]
    np.testing.assert_array_equal(off, OFF)
    np.testing.assert_array_equal(on, ON)
    np.testing.assert_array_equal(none, BACKGROUND)
    assert both.min() > 200
    np.testing.assert_array_equal(draw_spikes(np.ones((1, 1, 1), bool))[0, 0], ON)
    assert draw_spikes(np.ones((4, 1, 1), bool)).min() > 200
