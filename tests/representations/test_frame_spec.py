"""The specification of frames, and frames at any moment of a recording."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from windows import make_window

from easnn.events import LoadedRecording
from easnn.representations import REPRESENTATIONS, FrameSpec, frame_bounds_us, make_frame
from easnn.utils.errors import ConfigError


def recording_of(times):
    return LoadedRecording(Path("made up"), (2, 3), lambda _path: (make_window(times).events, None))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"window": 200}, "`window` must be a whole number ≤ 0, but is 200."),
        ({"Tm": 0}, "`Tm` must be a whole number ≥ 1 and ≤ 1000, but is 0."),
        (
            {"aggregation": "microsum"},
            "`aggregation` must be micro_sum, sum, voxel_grid, voxel_cube, timesurface or "
            "event_sum, but is 'microsum'.",
        ),
        (
            {"aggregation": "event_sum", "measure": "timesurface"},
            "`measure` must be count for `aggregation` event_sum, which sums histograms, in which "
            "events have no time, but is timesurface.",
        ),
        *(
            (
                {"aggregation": name, "measure": "timesurface"},
                f"`measure` must be count for `aggregation` {name}, which weighs events by their "
                "time already, but is timesurface.",
            )
            for name in ("voxel_grid", "timesurface")
        ),
    ],
)
def test_impossible_frames(keys, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        FrameSpec(**keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"Tl": 4},
            "`Tl` must be 1 for raw recordings, but is 4. `Tm` sets the slices of their window.",
        ),
        (
            {"aggregation": "event_sum"},
            "`aggregation` must be one of micro_sum, sum, voxel_grid, voxel_cube, timesurface for "
            "raw recordings, but is event_sum, which sums the histograms of RVT-preprocessed data. "
            "`easnn preprocess` makes them.",
        ),
    ],
)
def test_frames_that_are_not_made_from_events(keys, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        FrameSpec(**keys).check_from_events()


@pytest.mark.parametrize(("tau", "tau_us"), [(None, 50_000), (10, 10_000), (0.04, 40)])
def test_times_in_microseconds(tau, tau_us):
    spec = FrameSpec(window=-30, tau=tau)
    assert (spec.duration_us, spec.tau_us) == (30_000, tau_us)


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_frames_have_the_declared_slices_and_channels(name):
    spec = FrameSpec(window=-30, Tm=5, aggregation=name)
    frame = make_frame(spec, recording_of([1_000, 15_000, 29_000]), 40_000, (2, 3))
    assert frame.shape == (*spec.slices, spec.channels, 2, 3)
    assert frame.any()


@pytest.mark.parametrize(
    ("keys", "bounds"),
    [
        ({}, [15_000, 22_000, 29_000]),
        ({"slicing": "window"}, [10_000, 25_000, 40_000]),
        ({"aggregation": "sum"}, [10_000, 40_000]),
        ({"aggregation": "sum", "window": 0}, [1_000, 29_001]),
        ({"aggregation": "voxel_grid"}, None),
    ],
)
def test_bounds_of_slices(keys, bounds):
    spec = FrameSpec(**{"window": -30, "Tm": 2, **keys})
    found = frame_bounds_us(spec, recording_of([1_000, 15_000, 29_000]), 40_000)
    assert (None if found is None else found.tolist()) == bounds
