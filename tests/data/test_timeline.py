"""The windows of recordings in playing order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from caltech_layout import line_of, open_caltech, write_image
from frame_caches import disk_cache
from hypothesis import given
from hypothesis import strategies as st
from raw_layout import open_dataset, some_events, write_recording
from rvt_layout import open_rvt, some_histograms, write_sequence

from easnn.data.detection_dataset import DetectionDataset, Frame
from easnn.data.timeline import UNLABELLED, Timeline, windows_before


def rows(timeline: Timeline) -> list[tuple[int, int, int, bool]]:
    columns = (timeline.recordings, timeline.ends, timeline.frames, timeline.begins)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=20),
    st.integers(-50, 50),
    st.integers(1, 100),
    st.floats(0, 0.9),
)
def test_windows_lead_up_to_each_label(
    gaps: list[int], start: int, step: int, share: float
) -> None:
    labelled, slack = start + np.cumsum(gaps), int(share * step)
    ends, places = windows_before(labelled, start, step, slack=slack)
    assert ends[places].tolist() == labelled.tolist()
    assert (np.diff(ends) > 0).all()
    assert ends[0] > start
    before = start
    for label, gap in zip(labelled.tolist(), gaps, strict=True):
        between = ends[(ends > before) & (ends <= label)]
        assert set(np.diff(between).tolist()) <= {step}
        left_out = int(between[0]) - step - before
        assert left_out <= slack
        assert gap <= step or left_out > slack - step  # no more windows than that needs
        before = label


def test_windows_of_raw_recordings(tmp_path: Path) -> None:
    events = some_events("a")
    events["t_us"] += 10_000
    times_us = [55_000, 75_000, 96_000, 104_000]
    write_recording(
        tmp_path / "train", "a", events=events, boxes=[(t, 4, 5, 10, 8, 0) for t in times_us]
    )
    write_recording(tmp_path / "train", "b", boxes=[])
    write_recording(tmp_path / "train", "c", boxes=[(15_000, 4, 5, 10, 8, 0)])
    dataset = open_dataset(tmp_path)  # windows of 20 ms
    first_us = int(events["t_us"][0])
    assert 10_000 < first_us < 13_000  # so that 2 ms are left out of the first gap, or more are not
    timeline = dataset.timeline()
    known = [
        (0, 35_000, -1),
        (0, 55_000, 0),
        (0, 75_000, 1),
        (0, 96_000, 2),  # 1 ms after the window before: less than a tenth of a window
        (0, 104_000, 3),
        (2, 15_000, 4),
    ]
    assert [row[:3] for row in rows(timeline)][-6:] == known
    assert timeline.begins.tolist() == [True] + [False] * (len(timeline) - 2) + [True]
    assert timeline.starts.tolist() == [0, len(timeline) - 1]

    window = dataset.load_between(0, 35_000)
    assert (window.time_us, window.sequence, tuple(window.boxes.shape)) == (35_000, "a", (0, 5))
    inside = (events["t_us"] >= 15_000) & (events["t_us"] < 35_000)
    assert 0 < int(window.events.sum()) <= int(inside.sum())
    same = dataset.load_between(0, 75_000)
    assert torch.equal(same.events, dataset.load(1).events)

    with disk_cache(tmp_path / "cache") as cache:
        cached = cache.cached(dataset, num_workers=0)
        assert rows(cached.timeline()) == rows(timeline)
        assert torch.equal(cached.load_between(0, 35_000).events, window.events)


def test_windows_of_histograms(tmp_path: Path) -> None:
    write_sequence(tmp_path / "train" / "a")  # labels at histograms 1 and 5
    write_sequence(
        tmp_path / "train" / "b",
        histograms=some_histograms(8, seed=1),
        labels=[(350_000, 2, 2, 5, 6, 0)],
        histogram_numbers=[6],
    )
    dataset = open_rvt(tmp_path, Tl=2)
    timeline = dataset.timeline()
    assert rows(timeline) == [
        (0, 1, 0, True),
        (0, 3, UNLABELLED, False),
        (0, 5, 1, False),
        (1, 0, UNLABELLED, True),
        (1, 2, UNLABELLED, False),
        (1, 4, UNLABELLED, False),
        (1, 6, 2, False),
    ]
    window = dataset.load_between(1, 4)
    assert (window.time_us, window.sequence, tuple(window.boxes.shape)) == (250_000, "b", (0, 5))
    histograms = some_histograms(8, seed=1)[3:5].astype(int)
    expected = np.stack([histograms[:, :10].sum(1), histograms[:, 10:].sum(1)], axis=1)
    np.testing.assert_array_equal(window.events[:, 0], expected)
    assert torch.equal(dataset.load_between(1, 6).events, dataset.load(2).events)


def test_recordings_without_times_are_clips_of_one(tmp_path: Path) -> None:
    for number in (1, 2):
        write_image(tmp_path, "accordion", number)
    (tmp_path / "train.txt").write_text(line_of("accordion", 1) + line_of("accordion", 2))
    assert rows(open_caltech(tmp_path).timeline()) == [(0, 0, 0, True), (1, 1, 1, True)]


def test_a_dataset_that_only_knows_its_frames() -> None:
    class Frames(DetectionDataset):
        def __len__(self) -> int:
            return 3

        def load(self, index: int) -> Frame:
            raise AssertionError

    assert rows(Frames().timeline()) == [(n, n, n, True) for n in range(3)]
    with pytest.raises(NotImplementedError, match=r"^Frames has no windows between its frames\.$"):
        Frames().load_between(0, 0)
