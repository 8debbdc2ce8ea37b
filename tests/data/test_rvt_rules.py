"""Which labels RVT keeps, and where its histograms end: counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from easnn.data.rvt.rvt_rules import RULES, histogram_ends, label_frames
from easnn.events import BOX_DTYPE

GEN1_HW, GEN4_HW = (240, 304), (720, 1280)


def kept(name, hw, rows, *, training=False):
    boxes = np.zeros(len(rows), BOX_DTYPE)
    for box, (x, y, w, h) in zip(boxes, rows, strict=True):
        box["x"], box["y"], box["w"], box["h"] = x, y, w, h
    filtered = RULES[name].label_filter(boxes, hw, training=training)
    return [tuple(float(box[field]) for field in "xywh") for box in filtered]


def test_boxes_are_cropped_to_the_last_pixels():
    assert kept(
        "gen4", GEN4_HW, [(-10, -20, 40, 50), (1270, 700, 40, 50), (1279, 0, 9, 9), (0, 719, 9, 9)]
    ) == [
        (0, 0, 30, 30),
        (1270, 700, 9, 19),
    ]


@pytest.mark.parametrize(
    ("size", "stays"),
    [
        ((10, 29), True),
        ((10, 28), False),
        ((9.9, 50), False),
        ((50, 9.9), False),
        ((21.3, 21.3), True),
    ],
)
def test_gen1_boxes_have_a_diagonal_of_30_and_sides_of_10(size, stays):
    assert bool(kept("gen1", GEN1_HW, [(5, 5, *size)])) == stays


@pytest.mark.parametrize(
    ("size", "stays"), [((5, 5), True), ((4.9, 50), False), ((50, 4.9), False)]
)
def test_gen4_boxes_have_sides_of_5(size, stays):
    assert bool(kept("gen4", GEN4_HW, [(5, 5, *size)])) == stays


@pytest.mark.parametrize(
    ("name", "hw", "widest"), [("gen1", GEN1_HW, 273), ("gen4", GEN4_HW, 1152)]
)
def test_boxes_as_wide_as_the_frame_go_in_training_only(name, hw, widest):
    rows = [(0, 5, widest, 50), (0, 5, widest + 1, 50)]
    assert len(kept(name, hw, rows)) == 2
    assert kept(name, hw, rows, training=True) == rows[:1]


def test_the_crop_comes_before_the_size():
    assert kept("gen1", GEN1_HW, [(-30, 10, 39, 60)]) == []  # 9 px of it are in the frame
    assert kept("gen1", GEN1_HW, [(-30, 10, 320, 60)], training=True) == []  # 290 px


def frames(times_us, period_us=None):
    return label_frames(np.array(times_us, np.int64), period_us).tolist()


def test_frames_of_gen1_are_a_quarter_of_a_second_apart():
    assert RULES["gen1"].label_period_us == 250_000
    times = [99_999, 100_500, 200_000, 348_600, 600_600, 852_601, 1_102_600]
    assert frames(times, 250_000) == [100_500, 348_600, 600_600, 1_102_600]
    assert frames([100_000, 101_000, 352_000, 352_001], 250_000) == [100_000, 352_000]
    assert frames([100_000, 352_001], 250_000) == [100_000]


@pytest.mark.parametrize(("hz", "steps"), [(60, 6), (30, 3), (10, 1), (4, 1)])
def test_frames_of_gen4_are_about_a_tenth_of_a_second_apart(hz, steps):
    times = [150_000 + 1_000_000 * n // hz for n in range(25)]
    assert frames(times) == times[::steps]


def test_a_gap_in_the_labels_of_gen4():
    times = [150_000 + 1_000_000 * n // 60 for n in range(60) if not 10 <= n < 40]
    # Labels 42, 48 and 54 of 60 are multiples of the period as well.
    assert frames(times) == [times[0], times[6], *times[12::6]]


def test_few_labels():
    assert frames([]) == []
    assert frames([50_000]) == []
    assert frames([100_000]) == [100_000]


def ends(times_us):
    found, numbers = histogram_ends(np.array(times_us, np.int64))
    assert found[numbers].tolist() == times_us
    return found.tolist()


def test_histograms_end_every_50_ms_from_the_first_frame_back_and_on():
    assert ends([270_000]) == [70_000, 120_000, 170_000, 220_000, 270_000]  # but for 20 ms
    assert ends([100_000]) == [100_000]
    assert ends([150_000]) == [100_000, 150_000]
    assert ends([100_000, 200_001, 451_000]) == [
        *[100_000, 150_000, 200_001],
        *[250_200, 300_400, 350_600, 400_800, 451_000],
    ]


def test_histograms_between_frames_that_are_close():
    assert ends([100_000, 110_000]) == [100_000, 110_000]
