from __future__ import annotations

import re

import numpy as np
import pytest

from easnn.events import EventWindow, pack_events
from easnn.representations import FrameSpec, event_sum, represent, stacked_histogram
from easnn.utils.errors import DataError


def by_hand(events, hw):
    """Count the events one by one."""
    histogram = np.zeros((20, *hw), int)
    t_us = events["t_us"].tolist()
    for t, x, y, p in events.tolist():
        duration = max(t_us[-1] - t_us[0], 1)
        number = min(10 * (t - t_us[0]) // duration, 9)
        histogram[10 * p + number, y, x] += 1
    return histogram.clip(max=10)


def some_events(count, duration_us, hw, seed=0):
    rng = np.random.default_rng(seed)
    t_us = 1_000_000 + np.sort(rng.integers(0, duration_us + 1, count))
    return pack_events(
        t_us,
        rng.integers(0, hw[1], count),
        rng.integers(0, hw[0], count),
        rng.integers(0, 2, count),
    )


def test_bins_lie_between_the_first_and_the_last_event():
    events = pack_events(
        [100, 119, 120, 199, 299, 300], [0, 0, 0, 1, 1, 1], [0] * 6, [0, 0, 0, 1, 1, 1]
    )
    histogram = stacked_histogram(events, (1, 2))
    assert histogram.dtype == np.uint8
    assert {(c, x): int(histogram[c, 0, x]) for c, _, x in np.argwhere(histogram)} == {
        (0, 0): 2,
        (1, 0): 1,
        (14, 1): 1,
        (19, 1): 2,
    }


@pytest.mark.parametrize(("count", "duration_us"), [(1, 0), (50, 0), (50, 3), (3000, 50_000)])
def test_equal_to_a_loop(count, duration_us):
    events = some_events(count, duration_us, (5, 7))
    expected = by_hand(events, (5, 7))
    np.testing.assert_array_equal(stacked_histogram(events, (5, 7)), expected)
    halved = stacked_histogram(events, (5, 7), every_other=True)
    np.testing.assert_array_equal(halved, expected[:, 1::2, 1::2])
    assert halved.shape == (20, 2, 3)


def test_no_events():
    assert not stacked_histogram(pack_events([], [], [], []), (4, 6)).any()
    assert stacked_histogram(pack_events([], [], [], []), (4, 6), every_other=True).shape == (
        20,
        2,
        3,
    )


def test_counts_end_at_ten():
    events = pack_events([0] * 300, [1] * 300, [0] * 300, [1] * 300)
    assert stacked_histogram(events, (1, 2)).max() == 10


@pytest.mark.parametrize(("most", "dtype"), [(25, np.uint8), (26, np.int16), (255, np.int16)])
def test_event_sum(most, dtype):
    histograms = np.zeros((2, 20, 2, 3), np.uint8)
    histograms[0, :10, 1, 2] = most
    histograms[1, 10, 0, 0] = 7
    sums = event_sum(histograms)
    assert sums.dtype == dtype if most != 26 else sums.max() == 260
    assert {tuple(at): int(sums[tuple(at)]) for at in np.argwhere(sums)} == {
        (0, 0, 1, 2): 10 * most,
        (1, 1, 0, 0): 7,
    }


@pytest.mark.parametrize("sensor_hw", [(4096, 4097), (10**6, 10**6)])
def test_a_size_that_no_sensor_has(sensor_hw):
    height, width = sensor_hw
    message = (
        f"A sensor must have at most 16,777,216 pixels, but one of {width}×{height} was given, or "
        "declared by a recording or `dataset.json`. Give the right sensor size."
    )
    events = pack_events([1], [2], [3], [1])
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        stacked_histogram(events, sensor_hw)
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        represent(FrameSpec(), EventWindow(events, 0, 2), sensor_hw)
