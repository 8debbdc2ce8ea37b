"""Labels of training splits without the boxes that published work leaves out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_layout import SENSOR_HW, write_recording

from easnn.data import DATASETS, GEN1, LabelFilter, PropheseeSource
from easnn.events import BOX_DTYPE
from easnn.representations import FrameSpec
from easnn.utils.errors import DataError

FILTER = LabelFilter(min_diagonal_px=8, min_side_px=4)
BOXES = [
    (20_000, 1, 2, 8, 8, 0),
    (20_000, 1, 2, 8, 3, 1),  # too low
    (30_000, 1, 2, 5, 5, 1),  # too small
    (40_000, -6, 2, 9, 9, 1),  # 3 px of it are in the frame
    (40_000, 0, 5, 28, 6, 0),
    (50_000, 0, 5, 29, 6, 0),  # wider than nine tenths of 32 px
    (60_000, 20, 10, 30, 30, 1),
]


@pytest.fixture
def source(tmp_path):
    write_recording(tmp_path / "train", "a", boxes=BOXES)
    return PropheseeSource(tmp_path, "train", GEN1)


def labels(source, **options):
    dataset = source.dataset(FrameSpec(window=-20), num_classes=2, **options)
    found = [dataset.label(index) for index in range(len(dataset))]
    return {label.time_us: label.boxes.tolist() for label in found}


def test_a_time_without_any_box_is_no_frame(source):
    assert labels(source.filtering_labels(FILTER)) == {
        20_000: [[0, 1, 2, 8, 8]],
        40_000: [[0, 0, 5, 28, 6]],
        60_000: [[1, 20, 10, 11, 13]],  # cropped to the last pixels
    }
    assert source.label_filter is None
    assert list(labels(source)) == [20_000, 30_000, 40_000, 50_000, 60_000]


def test_a_filter_that_leaves_nothing(source):
    with pytest.raises(DataError) as caught:
        labels(source.filtering_labels(LabelFilter(100, 10)))
    assert str(caught.value) == (
        f"{source.root} has no label in train: its box files are empty, or `label_filter` drops "
        "all boxes."
    )


def test_sizes_are_those_in_the_sensor(source):
    half = labels(source.filtering_labels(FILTER), downsample=2)
    assert half[20_000] == [[0, 0.5, 1, 4, 4]]
    assert list(half) == [20_000, 40_000, 60_000]


def test_labels_are_kept_for_each_filter(source, tmp_path, monkeypatch):
    monkeypatch.setattr("easnn.data.cache.label_cache.MIN_RECORDINGS", 1)
    for chosen in (source, source.filtering_labels(FILTER), source):
        expected = labels(chosen)
        for _ in range(2):
            assert labels(chosen, cache_dir=tmp_path / "cache") == expected


def test_the_filters_of_the_datasets():
    filters = {name: kind.label_filter for name, kind in DATASETS.items()}
    assert filters == {
        "n-caltech": None,
        "gen1": LabelFilter(30, 10),
        "gen4": LabelFilter(0, 5),
        "gen4-all": LabelFilter(0, 5),
        "synthetic": LabelFilter(30, 10),
    }


sides = st.floats(-40, 60, width=32)


@given(st.lists(st.tuples(sides, sides, sides, sides), max_size=8))
def test_what_is_kept_satisfies_the_filter(rows):
    boxes = np.zeros(len(rows), BOX_DTYPE)
    for box, row in zip(boxes, rows, strict=True):
        box["x"], box["y"], box["w"], box["h"] = row
    boxes["track_id"] = np.arange(len(rows))
    before = boxes.copy()
    kept = FILTER(boxes, SENSOR_HW)
    assert np.array_equal(boxes, before)
    assert (np.diff(kept["track_id"]) > 0).all()
    for box in kept:
        assert min(box["w"], box["h"]) >= 4
        assert np.hypot(box["w"], box["h"]) >= 8 - 1e-4
        assert box["w"] <= 28
        assert 0 <= box["x"] <= box["x"] + box["w"] <= 31
        assert 0 <= box["y"] <= box["y"] + box["h"] <= 23
