from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_parts import SENSOR_HW, write_recording

from easnn.analysis import Playback
from easnn.events import open_dat, read_boxes
from easnn.representations import FrameSpec


@pytest.fixture
def playback(tmp_path: Path, frame_spec: FrameSpec) -> Playback:
    path = write_recording(tmp_path, "a", label_times_us=[300_000, 300_000, 330_000, 600_000])
    return Playback("a", open_dat(path), SENSOR_HW, frame_spec, read_boxes(tmp_path / "a_bbox.npy"))


def test_windows_reach_the_end(playback: Playback) -> None:
    assert list(playback.moments(0, 200, 100)) == [100, 200]
    assert list(playback.moments(0, 201, 100)) == [100, 200, 300]
    assert list(playback.moments(50, 60, 100)) == [150]


def test_a_frame_of_the_whole_recording_has_one_moment(playback: Playback) -> None:
    whole = Playback(
        "a",
        playback.recording,
        SENSOR_HW,
        FrameSpec(window=0, Tm=1, aggregation="sum"),
        playback.labels,
    )
    assert list(whole.moments(0, 500_000, 50_000)) == [999_001]
    assert int(whole.frame(999_001).sum()) == 1000


def test_a_frame_ends_at_its_moment(playback: Playback) -> None:
    # 200 events, of which the last slice leaves out those after Tm whole steps, here one.
    frame = playback.frame(500_000)
    assert tuple(frame.shape) == (1, 4, 2, *SENSOR_HW)
    assert int(frame.sum()) == 199


def test_labels_belong_to_the_moment_that_follows_them(playback: Playback) -> None:
    assert playback.label_times_us(299_999, 330_000) == [300_000, 330_000]
    assert playback.label_times_us(300_000, 329_999) == []
    boxes = playback.ground_truth(300_000, since_us=250_000)
    assert boxes is not None
    np.testing.assert_array_equal(boxes, [[0, 4, 6, 10, 8]] * 2)
    later = playback.ground_truth(350_000, since_us=250_000)
    assert later is not None
    assert len(later) == 1, "only the last of several labelled times"
    assert playback.ground_truth(299_999, since_us=250_000) is None


def test_an_unlabelled_recording_has_no_ground_truth(playback: Playback) -> None:
    unlabelled = Playback("a", playback.recording, SENSOR_HW, playback.spec, None)
    assert unlabelled.label_times_us(0, 10**6) == []
    assert unlabelled.ground_truth(300_000, 0) is None


def test_slices_lie_between_the_first_and_the_last_event(playback: Playback) -> None:
    # Events every ms from 300 to 499 ms; Δ = 199 ms // 4.
    bounds_us = playback.slice_bounds_us(500_000)
    assert bounds_us is not None
    assert bounds_us.tolist() == [300_000, 349_750, 399_500, 449_250, 499_000]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"slicing": "window"}, [300_000, 350_000, 400_000, 450_000, 500_000]),
        ({"aggregation": "sum"}, [300_000, 500_000]),
        ({"aggregation": "voxel_grid"}, None),
        ({"window": 0, "slicing": "window", "Tm": 1}, [0, 999_001]),
    ],
)
def test_slices_as_the_frame_is_made(
    playback: Playback, changes: dict[str, object], expected: list[int] | None
) -> None:
    bounds_us = replace(playback, spec=playback.spec.replace(**changes)).slice_bounds_us(500_000)
    assert (None if bounds_us is None else bounds_us.tolist()) == expected
