"""How recently each pixel saw an event, against a loop over events."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from windows import GOLDEN_TAGS, golden_windows, make_window, random_window

from easnn.representations import FrameSpec, represent, slice_bounds_us


def loop(window, Tm, sensor_hw, slicing, tau_us, never=None):
    """Use the last event of each pixel; without one, an event at time ``never``, if given."""
    bounds = slice_bounds_us(window, Tm, slicing)
    surface = np.zeros((Tm, 2, *sensor_hw))
    if never is not None:
        surface[:] = np.exp((never - bounds[1:]) / tau_us)[:, None, None, None]
    for k in range(Tm):
        for event in window.events:  # later events overwrite earlier ones
            if bounds[0] <= event["t_us"] < bounds[k + 1]:
                value = math.exp((int(event["t_us"]) - int(bounds[k + 1])) / tau_us)
                surface[k, event["p"], event["y"], event["x"]] = value
    return surface


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("slicing", ["extent", "window"])
def test_a_surface_equals_a_loop_and_leaves_the_window_alone(seed, slicing):
    window, Tm, sensor_hw = random_window(seed)
    before = window.events.copy()
    surface = represent(
        FrameSpec(aggregation="timesurface", Tm=Tm, slicing=slicing, tau=0.04), window, sensor_hw
    )
    assert surface.dtype == np.float16
    expected = loop(window, Tm, sensor_hw, slicing, 40)
    np.testing.assert_array_equal(surface, expected.astype(np.float16))
    assert np.array_equal(window.events, before)


def test_hand_counted_surface():
    window = make_window([0, 10, 30, 60], p=[1, 1, 0, 1])
    surface = represent(
        FrameSpec(aggregation="timesurface", Tm=2, slicing="window", tau=0.02), window, (1, 1)
    )
    # OFF at 30, ON at 10 and then at 60; slices end at 50 and 100.
    expected = np.exp([[-1, -2], [-3.5, -2]])
    np.testing.assert_allclose(surface[..., 0, 0], expected, rtol=2**-11)


def test_the_time_constant_of_gen1_is_50_ms():
    window = make_window([50_000], end_us=100_000)
    surface = represent(
        FrameSpec(aggregation="timesurface", Tm=1, slicing="window"), window, (1, 1)
    )
    assert surface[0, 0, 0, 0] == np.float16(math.exp(-1))


@pytest.mark.parametrize("tag", GOLDEN_TAGS)
def test_published_surface_but_for_pixels_without_events(golden: Path, tag):
    """With an event of every pixel at time 0, as in the published code, the numbers are equal."""
    Tm = GOLDEN_TAGS[tag][0]
    with np.load(golden / "data/gen1_expected.npz") as expected:
        for sample, window in golden_windows(golden, tag):
            surface = represent(FrameSpec(aggregation="timesurface", Tm=Tm), window, (240, 304))
            ours = loop(window, Tm, (240, 304), "extent", 50_000)
            np.testing.assert_array_equal(surface, ours.astype(np.float16))
            if len(window.events):
                theirs = loop(window, Tm, (240, 304), "extent", 50_000, never=0)
                numbers = [theirs.sum(), (theirs**2).sum(), theirs.max()]
                np.testing.assert_allclose(numbers, expected[f"timesurface|{tag}|{sample}|sum"])
