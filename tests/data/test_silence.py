"""Silence that is measured from events."""

from __future__ import annotations

import numpy as np
import pytest

from easnn.data.silence import LOOK_BACK_US, SLICE_US, SilenceMeter

BOX = np.array([[8.0, 8.0, 16.0, 16.0]])


def meter(moving: set[int], *, noise: float = 0.0, first: int = 0) -> SilenceMeter:
    """Return a meter for something in a box that moves in the slices of some numbers."""

    def activity(number: int) -> np.ndarray | None:
        if number < first:
            return None
        active = np.random.default_rng(number).random((64, 80)) < noise
        if number in moving:
            active[8:24, 8:10] = True  # an edge: an eighth of the box
        return active

    return SilenceMeter(activity)


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_seconds_since_the_last_slice_with_motion(noise: float) -> None:
    for last, expected_s in ((20, 0.0), (21, 0.05), (30, 0.5), (40, 1.0)):
        found = meter({3, 20}, noise=noise).silence_s(BOX, (last + 1) * SLICE_US, last)
        assert found.dtype == np.float32
        assert found == pytest.approx([expected_s])


def test_what_has_not_moved_since_the_recording_began() -> None:
    assert meter(set(), first=10).silence_s(BOX, 31 * SLICE_US, 30) == pytest.approx([1.55])


def test_no_silence_is_longer_than_the_look_back() -> None:
    found = meter({0}).silence_s(BOX, 1001 * SLICE_US, 1000)
    assert found == pytest.approx([LOOK_BACK_US / 1e6])


def test_boxes_that_reach_beyond_the_sensor_or_lie_outside() -> None:
    boxes = np.array([[-8.0, -8.0, 24.0, 24.0], [200.0, 8.0, 4.0, 4.0], [8.0, 8.0, 0.2, 0.2]])
    found = meter({5}).silence_s(boxes, 6 * SLICE_US, 5)
    assert found == pytest.approx([0.0, 0.3, 0.0])


def test_a_slice_is_read_once() -> None:
    read = []

    def activity(number: int) -> np.ndarray | None:
        read.append(number)
        return np.zeros((9, 5), bool) if number >= 0 else None

    silence = SilenceMeter(activity)
    for last in range(12):
        silence.silence_s(BOX, (last + 1) * SLICE_US, last)
    assert sorted(read) == list(range(-1, 12))
