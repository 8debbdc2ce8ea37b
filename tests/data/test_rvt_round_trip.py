"""A sequence that is written is read the same, and what is read is written the same."""

from __future__ import annotations

import shutil

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from easnn.data.rvt.histogram_file import HistogramFile
from easnn.data.rvt.rvt_files import sequence_files
from easnn.data.rvt.rvt_labels import read_histogram_numbers, read_sequence_boxes
from easnn.data.rvt.sequence_writer import SequencePlan, check_same, write_sequence
from easnn.events import BOX_DTYPE
from easnn.representations import HISTOGRAM_CHANNELS

CORNERS = st.floats(-100, 1000, width=32)
SIDES = st.floats(0, 1000, width=32)


@st.composite
def sequences(draw):
    """A sequence of 1 to 6 histograms, some of which end at labels, and the histograms."""
    ends_us = np.cumsum(draw(st.lists(st.integers(1, 10**6), min_size=1, max_size=6)))
    numbers = sorted(draw(st.sets(st.integers(0, len(ends_us) - 1), min_size=1)))
    box = st.tuples(CORNERS, CORNERS, SIDES, SIDES, st.integers(0, 2), st.integers(0, 2**40))
    rows = [
        (ends_us[number], *row, 1.0)
        for number in numbers
        for row in draw(st.lists(box, min_size=1, max_size=3))
    ]
    hw = draw(st.tuples(st.integers(1, 4), st.integers(1, 5)))
    shape = (len(ends_us), HISTOGRAM_CHANNELS, *hw)
    plan = SequencePlan(
        np.array(rows, BOX_DTYPE),
        ends_us[numbers],
        ends_us,
        np.array(numbers),
        hw,
        draw(st.booleans()),
    )
    return plan, draw(arrays(np.uint8, shape, elements=st.integers(0, 10)))


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=settings().max_examples // 3,  # each writes six files and flushes them
)
@given(sequences())
def test_sequences(tmp_path, drawn):
    plan, histograms = drawn
    folder = tmp_path / "sequence"
    shutil.rmtree(folder, ignore_errors=True)
    write_sequence(folder, plan, histograms)
    files = sequence_files(folder, halved=plan.halved)
    boxes, stored = read_sequence_boxes(files), HistogramFile(files.events_path)
    assert np.array_equal(boxes, plan.boxes)
    assert np.array_equal(read_histogram_numbers(files), plan.histogram_numbers)
    assert stored.end_times_us.tolist() == plan.ends_us.tolist()
    assert np.array_equal(stored.last(len(histograms) - 1, len(histograms)), histograms)
    check_same(folder, plan)
