"""Event counts per micro slice, pixel and polarity."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from easnn.events import EventWindow, label_window, open_dat, pack_events
from easnn.representations import REPRESENTATIONS, represent, slice_bounds_us
from easnn.utils.errors import ConfigError, DataError

SAMPLES = [
    ("17-03-30_12-53-58_0_60000000", [(0, 100_000), (1, 750_000), (2, 1_000_000), (3, 1_999_000)]),
    (
        "17-03-30_12-53-58_1_60000000",
        [(0, 250_000), (1, 500_000), (2, 700_000), (3, 880_000), (4, 1_000_000), (5, 1_250_000)],
    ),
]


@pytest.mark.parametrize(("tag", "Tm", "duration_us"), [("a", 4, 200_000), ("b", 3, 50_000)])
@pytest.mark.parametrize("name", ["micro_sum", "sum"])
@pytest.mark.parametrize(("sequence", "labels"), SAMPLES)
def test_published_counts(golden: Path, tag, Tm, duration_us, name, sequence, labels):
    expected = np.load(golden / "data/gen1_expected.npz")
    recording = open_dat(golden / f"data/gen1/test/{sequence}_td.dat")
    for row, time_us in labels:
        if time_us < duration_us:
            continue  # the published code reads past this label
        window = label_window(recording, time_us, duration_us, max_steps_back=2)
        counts = represent(name, window, sensor_hw=(240, 304), Tm=Tm)
        key = f"{name}|{tag}|{sequence}_r{row}_a{time_us}|raw_"
        flat = np.zeros(np.prod(expected[key + "shape"]))
        flat[expected[key + "nz_index"]] = expected[key + "nz_value"]
        assert counts.dtype == np.uint8
        assert counts.shape == (1 if name == "sum" else Tm, 2, 240, 304)
        assert np.array_equal(counts.ravel(), flat)


def make_window(times, start_us=0, end_us=100, **columns) -> EventWindow:
    columns = {"x": 0, "y": 0, "p": 0} | columns
    return EventWindow(pack_events(times, **columns), start_us, end_us)


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
    counts = represent("micro_sum", window, sensor_hw=(2, 3), Tm=3, slicing=slicing)
    assert counts.shape == (3, 2, 2, 3)
    assert counts[:, 0, 0, 0].tolist() == per_slice
    assert represent("sum", window, sensor_hw=(2, 3), Tm=3, slicing=slicing).sum() == len(times)


def test_pixel_and_polarity():
    window = make_window([0, 1, 50, 60, 99], x=[2, 2, 0, 1, 2], y=[0, 0, 1, 1, 0], p=[1, 1, 0, 1, 0])
    counts = represent("micro_sum", window, sensor_hw=(2, 3), Tm=2, slicing="window")
    assert counts.tolist() == [
        [[[0, 0, 0], [0, 0, 0]], [[0, 0, 2], [0, 0, 0]]],
        [[[0, 0, 1], [1, 0, 0]], [[0, 0, 0], [0, 1, 0]]],
    ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("slicing", ["extent", "window"])
def test_counts_equal_a_loop_and_leave_the_window_alone(seed, slicing):
    rng = np.random.default_rng(seed)
    n, Tm, height, width = int(rng.integers(1, 300)), int(rng.integers(1, 6)), 5, 7
    times = np.sort(rng.integers(1000, 1100, n))
    window = make_window(
        times, 1000, 1100, x=rng.integers(0, width, n), y=rng.integers(0, height, n), p=rng.integers(0, 2, n)
    )
    before = window.events.copy()
    bounds = slice_bounds_us(window, Tm, slicing)
    expected = np.zeros((Tm, 2, height, width))
    for event in window.events:
        for k in range(Tm):
            if bounds[k] <= event["t_us"] < bounds[k + 1]:
                expected[k, event["p"], event["y"], event["x"]] += 1
    counts = represent("micro_sum", window, sensor_hw=(height, width), Tm=Tm, slicing=slicing)
    assert np.array_equal(counts, expected)
    assert np.array_equal(window.events, before)


@pytest.mark.parametrize(
    ("count", "dtype"), [(255, np.uint8), (256, np.int16), (32_767, np.int16), (32_768, np.int32)]
)
def test_smallest_type_that_holds_the_counts(count, dtype):
    counts = represent("sum", make_window(np.zeros(count, int)), sensor_hw=(1, 1), Tm=4)
    assert (counts.dtype, counts.max()) == (dtype, count)


def test_names():
    assert sorted(REPRESENTATIONS) == ["micro_sum", "sum"]
    message = "`aggregation` must be one of micro_sum, sum, but is microsum. Did you mean `micro_sum`?"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        represent("microsum", make_window([1]), sensor_hw=(1, 1), Tm=1)


def test_events_must_lie_inside_the_sensor():
    message = "Events must lie inside the sensor, 4×3 pixels, but reach x=4, y=2. Give the right sensor size."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        represent("sum", make_window([1, 2], x=[4, 0], y=[0, 2]), sensor_hw=(3, 4), Tm=1)
