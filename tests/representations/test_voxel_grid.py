"""Signed events shared between two steps, against a loop over events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from windows import GOLDEN_TAGS, golden_values, golden_windows, make_window, random_window

from easnn.representations import FrameSpec, represent


def loop(window, Tm, sensor_hw, slicing, off=-1.0):
    """Add the events one by one; ``off`` is the sign of an OFF event."""
    grid = np.zeros((Tm, 1, *sensor_hw))
    events = window.events
    start, end = window.start_us, window.end_us
    if slicing == "extent":
        start, end = int(events["t_us"][0]), int(events["t_us"][-1])
    for event in events:
        position = Tm * (int(event["t_us"]) - start) / (end - start) if end > start else 0.0
        sign = 1.0 if event["p"] else off
        for k in range(Tm):
            if k <= position < k + 1:
                grid[k, 0, event["y"], event["x"]] += sign * (k + 1 - position)
            if k - 1 <= position < k:
                grid[k, 0, event["y"], event["x"]] += sign * (position - k + 1)
    return grid


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("slicing", ["extent", "window"])
def test_a_grid_equals_a_loop_and_leaves_the_window_alone(seed, slicing):
    window, Tm, sensor_hw = random_window(seed)
    before = window.events.copy()
    grid = represent(FrameSpec(aggregation="voxel_grid", Tm=Tm, slicing=slicing), window, sensor_hw)
    assert grid.dtype == np.float16
    np.testing.assert_allclose(
        grid, loop(window, Tm, sensor_hw, slicing), rtol=2**-11 + 1e-9, atol=1e-7
    )
    assert np.array_equal(window.events, before)


def test_hand_counted_shares():
    window = make_window([0, 25, 40, 99], p=[1, 0, 1, 1], x=[0, 0, 1, 2])
    grid = represent(FrameSpec(aggregation="voxel_grid", Tm=2, slicing="window"), window, (1, 3))
    # positions 0, 0.5, 0.8, 1.98: what falls on step 2 is left out
    np.testing.assert_allclose(grid[:, 0, 0], [[0.5, 0.2, 0], [-0.5, 0.8, 0.02]], rtol=2**-11)


def test_events_of_one_time_are_in_the_first_step():
    grid = represent(
        FrameSpec(aggregation="voxel_grid", Tm=3), make_window([7, 7, 7], p=[1, 1, 0]), (1, 1)
    )
    assert grid[:, 0, 0, 0].tolist() == [1, 0, 0]


def test_a_grid_beyond_the_range_of_float16():
    window = make_window(np.zeros(70_000), p=0)
    grid = represent(FrameSpec(aggregation="voxel_grid", Tm=1, slicing="window"), window, (1, 1))
    assert (grid.dtype, grid[0, 0, 0, 0]) == (np.float32, -70_000)


@pytest.mark.parametrize("tag", GOLDEN_TAGS)
def test_published_grid_but_for_its_sign(golden: Path, tag):
    """With 255 for an OFF event, as in the published code, the loop gives the published numbers."""
    Tm = GOLDEN_TAGS[tag][0]
    for sample, window in golden_windows(golden, tag):
        if len(window.events) == 0:
            continue
        published = golden_values(golden, "voxel_grid", tag, sample)[0]
        np.testing.assert_allclose(
            loop(window, Tm, (240, 304), "extent", off=255.0), published, rtol=1e-5, atol=1e-4
        )
        grid = represent(FrameSpec(aggregation="voxel_grid", Tm=Tm), window, (240, 304))
        np.testing.assert_allclose(
            grid, loop(window, Tm, (240, 304), "extent"), rtol=2**-11 + 1e-9, atol=1e-7
        )
