from __future__ import annotations

import numpy as np
import pytest

from easnn.analysis import draw_boxes, draw_outlines
from easnn.analysis.canvas import blank
from easnn.analysis.palette import BACKGROUND, class_colour

GROUND = (1, 2, 3)
NAMES = ("car", "pedestrian")


def drawn_area(picture: np.ndarray) -> tuple[int, int, int, int]:
    """Return (top, left, bottom, right) of all that differs from the ground."""
    rows, columns = np.nonzero((picture != GROUND).any(axis=2))
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


def chips(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    """Count pixels of exactly ``colour``."""
    return int((picture == colour).all(axis=2).sum())


def test_the_line_runs_along_the_box_at_its_scale() -> None:
    picture = draw_outlines(
        blank((60, 80), GROUND), np.array([[10, 8, 20, 16]]), (9, 9, 9), scale=2
    )
    for y, x in ((16, 40), (47, 40), (30, 20), (30, 59)):
        np.testing.assert_array_equal(picture[y, x], (9, 9, 9))
    np.testing.assert_array_equal(picture[30, 40], GROUND)
    assert drawn_area(picture) == pytest.approx((16, 20, 48, 60), abs=3)


@pytest.mark.parametrize(
    "box",
    [
        (-30, -30, 40, 40),
        (150, 90, 100, 100),
        (190, 2, 8, 8),
        (2, 112, 8, 8),
        (-500, 40, 20, 20),
        (60, 40, 30, 20),
    ],
)
def test_a_label_stays_inside_wherever_the_box_is(box: tuple[int, ...]) -> None:
    room, margin = (120, 200), 200
    boxes = np.array([box], float)
    small = draw_boxes(blank(room, GROUND), boxes, np.array([1]), NAMES, scores=np.array([0.5]))
    # On a picture large enough that nothing is cut, the label has this many pixels of the class's
    # colour.
    centred = boxes + np.array([margin, margin, 0, 0])
    hw = (room[0] + 2 * margin, room[1] + 2 * margin)
    labelled = draw_boxes(blank(hw, GROUND), centred, np.array([1]), NAMES, scores=np.array([0.5]))
    outline = draw_outlines(blank(hw, GROUND), centred, class_colour(1))
    whole = chips(labelled, class_colour(1)) - chips(outline, class_colour(1))
    inside = chips(small, class_colour(1))
    assert inside >= 0.9 * whole > 500


def test_labels_of_boxes_in_one_place_do_not_cover_each_other() -> None:
    boxes = np.array([[60, 40, 60, 40], [60, 40, 60, 40]], float)
    top, _, bottom, _ = drawn_area(
        draw_boxes(blank((140, 200), GROUND), boxes[:1], np.array([0]), NAMES)
    )
    assert (top < 30, bottom > 90) == (True, False), "one label, above"
    top, _, bottom, _ = drawn_area(
        draw_boxes(blank((140, 200), GROUND), boxes, np.array([0, 0]), NAMES)
    )
    assert (top < 30, bottom > 90) == (True, True), "the other below"


def test_the_surest_box_lies_on_top() -> None:
    boxes = np.array([[20, 40, 60, 40], [20, 40, 60, 40]], float)
    for scores, on_top in (([0.9, 0.2], 0), ([0.2, 0.9], 1)):
        picture = draw_boxes(
            blank((140, 200), GROUND), boxes, np.array([0, 1]), NAMES, scores=np.array(scores)
        )
        np.testing.assert_array_equal(picture[60, 20], class_colour(on_top))


def test_a_class_without_a_name_is_a_number_and_a_long_name_is_cut() -> None:
    box = np.array([[10, 40, 20, 20]], float)
    unnamed = draw_boxes(blank((80, 120), GROUND), box, np.array([7]), NAMES)
    named = draw_boxes(blank((80, 120), GROUND), box, np.array([7]), (*"abcdefg", "class 7"))
    np.testing.assert_array_equal(unnamed, named)
    long = draw_boxes(
        blank((80, 60), GROUND), box, np.array([0]), ("a name much wider than the picture",)
    )
    np.testing.assert_array_equal(long[30, 59], class_colour(0))


def test_no_boxes_change_nothing() -> None:
    ground = blank((20, 30), BACKGROUND)
    picture = draw_boxes(ground, np.zeros((0, 4)), np.zeros(0), NAMES, scores=np.zeros(0))
    np.testing.assert_array_equal(picture, ground)
    assert picture is not ground


def test_the_picture_given_is_left_alone() -> None:
    ground = blank((60, 80), GROUND)
    draw_boxes(ground, np.array([[10, 10, 30, 30]]), np.array([0]), NAMES)
    draw_outlines(ground, np.array([[10, 10, 30, 30]]), BACKGROUND)
    np.testing.assert_array_equal(ground, blank((60, 80), GROUND))
