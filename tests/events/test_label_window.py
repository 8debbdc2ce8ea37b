"""The window that belongs to a label."""

from __future__ import annotations

import numpy as np
import pytest

from easnn.events import label_window, open_dat, pack_events, write_dat


@pytest.fixture
def recording(tmp_path):
    """Events each 10 µs from 100 to 190, silence, one at 500."""
    times = [*range(100, 200, 10), 500]
    write_dat(tmp_path / "a_td.dat", pack_events(times, np.arange(11), 0, 1))
    return open_dat(tmp_path / "a_td.dat")


@pytest.mark.parametrize(
    ("label_us", "duration_us", "max_steps_back", "bounds", "times"),
    [
        (150, 30, 2, (120, 150), [120, 130, 140]),  # the event at the label is not seen
        (120, 50, 2, (70, 120), [100, 110]),
        (120, 200, 2, (-80, 120), [100, 110]),  # ends at the label, though it begins before time 0
        (250, 50, 2, (150, 200), [150, 160, 170, 180, 190]),  # one step back
        (320, 50, 2, (170, 220), [170, 180, 190]),  # two
        (320, 50, 1, (270, 320), []),  # two are needed, one is allowed
        (250, 50, 0, (200, 250), []),
        (90, 50, 3, (40, 90), []),  # nothing before
        (500, 50, 2, (450, 500), []),
        (501, 50, 2, (451, 501), [500]),
        (150, 0, 2, (100, 501), [*range(100, 200, 10), 500]),  # the whole recording
    ],
)
def test_window_of_a_label(recording, label_us, duration_us, max_steps_back, bounds, times):
    window = label_window(recording, label_us, duration_us, max_steps_back)
    assert (window.start_us, window.end_us) == bounds
    assert window.events["t_us"].tolist() == times
