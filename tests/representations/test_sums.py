"""Sums over events per micro slice, channel and pixel."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import events
from windows import GOLDEN_TAGS, golden_values, golden_windows, make_window, random_window

from easnn.events import EventWindow
from easnn.representations import (
    REPRESENTATIONS,
    FrameSpec,
    event_sum,
    represent,
    slice_bounds_us,
    stacked_histogram,
)
from easnn.representations.histogram import BINS, MAX_COUNT
from easnn.utils.errors import DataError

SHAPES = {"micro_sum": (None, 2), "sum": (1, 2), "voxel_cube": (None, 4)}


@pytest.mark.parametrize("tag", GOLDEN_TAGS)
@pytest.mark.parametrize("name", SHAPES)
def test_published_counts(golden: Path, tag, name):
    Tm = GOLDEN_TAGS[tag][0]
    slices, channels = SHAPES[name]
    for sample, window in golden_windows(golden, tag):
        counts = represent(FrameSpec(aggregation=name, Tm=Tm), window, (240, 304))
        assert counts.dtype == np.uint8
        assert counts.shape == (slices or Tm, channels, 240, 304)
        assert np.array_equal(counts.ravel(), golden_values(golden, name, tag, sample).ravel())


@pytest.mark.parametrize(
    ("times", "Tm", "slicing", "bounds"),
    [
        ([10, 20, 50], 4, "extent", [10, 20, 30, 40, 50]),
        ([10, 20, 53], 4, "extent", [10, 20, 30, 40, 50]),
        ([10, 12], 3, "extent", [10, 10, 10, 10]),
        ([], 2, "extent", [0, 50, 100]),
        ([10, 20, 53], 4, "window", [0, 25, 50, 75, 100]),
        ([10, 20, 53], 3, "window", [0, 33, 66, 100]),
    ],
)
def test_slice_bounds(times, Tm, slicing, bounds):
    assert slice_bounds_us(make_window(times), Tm, slicing).tolist() == bounds


@pytest.mark.parametrize(
    ("times", "slicing", "per_slice"),
    [
        ([10, 19, 20, 29, 30, 40], "extent", [2, 2, 1]),  # the last event is in no slice
        ([10, 19, 20, 29, 30, 41, 41, 42], "extent", [2, 2, 1]),  # nor the tail
        ([10, 19, 20, 29, 30, 40], "window", [5, 1, 0]),
        ([0, 32, 33, 65, 66, 99], "window", [2, 2, 2]),
        ([7, 7, 7], "extent", [0, 0, 0]),
        ([7], "window", [1, 0, 0]),
        ([], "extent", [0, 0, 0]),
        ([], "window", [0, 0, 0]),
    ],
)
def test_events_per_slice(times, slicing, per_slice):
    window = make_window(times)
    counts = represent(FrameSpec(aggregation="micro_sum", Tm=3, slicing=slicing), window, (2, 3))
    assert counts.shape == (3, 2, 2, 3)
    assert counts[:, 0, 0, 0].tolist() == per_slice
    assert represent(
        FrameSpec(aggregation="sum", Tm=3, slicing=slicing), window, (2, 3)
    ).sum() == len(times)


def test_pixel_and_polarity():
    window = make_window(
        [0, 1, 50, 60, 99], x=[2, 2, 0, 1, 2], y=[0, 0, 1, 1, 0], p=[1, 1, 0, 1, 0]
    )
    counts = represent(FrameSpec(aggregation="micro_sum", Tm=2, slicing="window"), window, (2, 3))
    assert counts.tolist() == [
        [[[0, 0, 0], [0, 0, 0]], [[0, 0, 2], [0, 0, 0]]],
        [[[0, 0, 1], [1, 0, 0]], [[0, 0, 0], [0, 1, 0]]],
    ]


def cube_channel(event, start_us, end_us):
    half = 1 if event["t_us"] - start_us >= (end_us - start_us) / 2 else 0
    return (int(event["p"]) + 1) * (half + 1) - 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("slicing", ["extent", "window"])
@pytest.mark.parametrize("measure", ["count", "timesurface"])
@pytest.mark.parametrize("name", ["micro_sum", "voxel_cube"])
def test_sums_equal_a_loop_and_leave_the_window_alone(name, measure, slicing, seed):
    window, Tm, (height, width) = random_window(seed)
    before = window.events.copy()
    bounds = slice_bounds_us(window, Tm, slicing)
    expected = np.zeros((Tm, FrameSpec(aggregation=name).channels, height, width))
    for event in window.events:
        for k in range(Tm):
            if bounds[k] <= event["t_us"] < bounds[k + 1]:
                channel = (
                    event["p"] if name == "micro_sum" else cube_channel(event, *bounds[k : k + 2])
                )
                fades = math.exp((event["t_us"] - bounds[k + 1]) / 40)
                expected[k, channel, event["y"], event["x"]] += 1 if measure == "count" else fades
    values = represent(
        FrameSpec(aggregation=name, Tm=Tm, slicing=slicing, measure=measure, tau=0.04),
        window,
        (height, width),
    )
    assert values.dtype == (np.uint8 if measure == "count" else np.float16)
    np.testing.assert_allclose(values, expected, rtol=0 if measure == "count" else 2**-11 + 1e-9)
    assert np.array_equal(window.events, before)


HW = (3, 4)


@st.composite
def windows(draw):
    """Events of a window of 1 to 400 µs, some of which has no event."""
    start_us, length_us = draw(st.integers(0, 10**9)), draw(st.integers(1, 400))
    found = draw(
        events(
            sensor_hw=HW, first_us=st.just(start_us), gaps_us=st.integers(0, 3 * length_us // 40)
        )
    )
    return EventWindow(found[found["t_us"] < start_us + length_us], start_us, start_us + length_us)


def per_pixel(events):
    """Return the number of events by polarity, row and column."""
    counts = np.zeros((2, *HW), int)
    np.add.at(counts, (events["p"], events["y"], events["x"]), 1)
    return counts


@given(windows(), st.integers(1, 6))
def test_every_event_of_a_window_is_counted_once(window, Tm):
    expected = per_pixel(window.events)

    def values(name):
        return represent(FrameSpec(aggregation=name, Tm=Tm, slicing="window"), window, HW)

    assert np.array_equal(values("sum")[0], expected)
    assert np.array_equal(values("micro_sum").sum(axis=0), expected)
    cube = values("voxel_cube").sum(axis=0)
    assert np.array_equal(cube.sum(axis=0), expected.sum(axis=0))
    histograms = stacked_histogram(window.events, HW)[None]
    capped = histograms.reshape(2, BINS, *HW)
    assert np.array_equal(event_sum(histograms)[0], capped.sum(axis=1))
    assert np.array_equal(
        np.minimum(expected, MAX_COUNT), np.minimum(capped.sum(axis=1), MAX_COUNT)
    )
    assert (capped.sum(axis=1) <= expected).all()


@given(windows(), st.integers(1, 6))
def test_only_the_tail_of_the_extent_is_not_counted(window, Tm):
    times_us = window.events["t_us"]
    step_us = (int(times_us[-1]) - int(times_us[0])) // Tm if len(times_us) else 0
    counted = window.events[times_us < (times_us[0] + Tm * step_us if len(times_us) else 0)]
    for name in ("micro_sum", "voxel_cube"):
        values = represent(FrameSpec(aggregation=name, Tm=Tm), window, HW)
        assert np.array_equal(values.sum(axis=(0, 1)), per_pixel(counted).sum(axis=0)), name


@given(windows(), st.integers(1, 6))
def test_a_voxel_grid_shares_the_sign_of_an_event_between_two_steps(window, Tm):
    expected = np.zeros(HW)
    for event in window.events:
        position = Tm * (int(event["t_us"]) - window.start_us) / (window.end_us - window.start_us)
        sign = 1 if event["p"] else -1
        # What would be in step Tm is dropped.
        expected[event["y"], event["x"]] += sign * min(1.0, Tm - position)
    grid = represent(FrameSpec(aggregation="voxel_grid", Tm=Tm, slicing="window"), window, HW)
    np.testing.assert_allclose(
        grid.astype(np.float64).sum(axis=(0, 1)), expected, atol=2**-10 * len(window.events)
    )


def test_halves_of_a_slice_and_the_channel_that_they_share():
    # slice 0 is [0, 5): its second half begins at 2.5; slice 1 is [5, 10)
    window = make_window([0, 2, 3, 4, 5, 7, 8, 9], p=[0, 1, 0, 1, 1, 1, 1, 0], end_us=10)
    cube = represent(FrameSpec(aggregation="voxel_cube", Tm=2, slicing="window"), window, (1, 1))
    assert cube[..., 0, 0].tolist() == [[1, 2, 0, 1], [0, 3, 0, 1]]


def test_a_sum_fades_until_the_window_ends():
    window = make_window([10, 90], p=[0, 1], end_us=110)
    faded = represent(
        FrameSpec(aggregation="sum", Tm=7, measure="timesurface", tau=0.1), window, (1, 1)
    )
    np.testing.assert_allclose(faded[0, :, 0, 0], np.exp([-1.0, -0.2]), rtol=2**-11)


@pytest.mark.parametrize(
    ("count", "dtype"), [(255, np.uint8), (256, np.int16), (32_767, np.int16), (32_768, np.int32)]
)
def test_smallest_type_that_holds_the_counts(count, dtype):
    counts = represent(
        FrameSpec(aggregation="sum", Tm=4), make_window(np.zeros(count, int)), (1, 1)
    )
    assert (counts.dtype, counts.max()) == (dtype, count)


def test_many_faded_events_do_not_overflow():
    window = make_window(np.full(70_000, 99), end_us=100)
    faded = represent(FrameSpec(aggregation="sum", Tm=1, measure="timesurface"), window, (1, 1))
    assert faded.dtype == np.float32
    np.testing.assert_allclose(faded[0, 0, 0, 0], 70_000 * math.exp(-1 / 50_000), rtol=1e-6)


def test_names():
    assert sorted(REPRESENTATIONS) == [
        "micro_sum",
        "sum",
        "timesurface",
        "voxel_cube",
        "voxel_grid",
    ]


@pytest.mark.parametrize("name", REPRESENTATIONS)
@pytest.mark.parametrize("slicing", ["extent", "window"])
@pytest.mark.parametrize("times", [[], [5], [5, 5, 5], [5, 6]])
def test_channels_are_those_declared_however_few_the_events(name, slicing, times):
    values = represent(
        FrameSpec(aggregation=name, Tm=5, slicing=slicing), make_window(times), (2, 3)
    )
    assert values.shape == (1 if name == "sum" else 5, FrameSpec(aggregation=name).channels, 2, 3)
    assert np.isfinite(values).all()


def test_events_must_lie_inside_the_sensor():
    message = (
        "Events must lie inside the sensor, 4×3 pixels, but reach x=4, y=2. Give the right sensor "
        "size."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        represent(
            FrameSpec(aggregation="sum", Tm=1), make_window([1, 2], x=[4, 0], y=[0, 2]), (3, 4)
        )
