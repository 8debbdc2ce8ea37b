from __future__ import annotations

import numpy as np
import torch
from small_parts import INPUT_HW, SENSOR_HW, FixedDetector

from easnn.analysis import Observer


def test_detections_are_in_sensor_pixels(detector: FixedDetector) -> None:
    counts = torch.zeros(1, 4, 2, *SENSOR_HW, dtype=torch.uint8)
    observer = Observer(detector, input_hw=INPUT_HW, confidence=0.3, nms_iou=0.65)
    view = observer.observe(counts, "name", 1000, None)
    expected = [[0, 0.9, 15, 7.5, 10, 5], [1, 0.4, 7.5, 10, 5, 10]]  # class, score, (centre − size / 2) / 1.6
    np.testing.assert_allclose(view.detections, expected, rtol=1e-6)
    assert (view.sequence, view.time_us, view.ground_truth) == ("name", 1000, None)


def test_a_view_knows_its_representation(detector: FixedDetector) -> None:
    frame = torch.zeros(1, 4, 2, *SENSOR_HW, dtype=torch.float16)
    observer = Observer(
        detector, input_hw=INPUT_HW, confidence=0.3, nms_iou=0.65, aggregation="timesurface", measure="count"
    )
    view = observer.observe(frame, "name", 1000, None)
    assert (view.aggregation, view.measure) == ("timesurface", "count")
    assert view.counts.dtype == np.float16


def test_what_was_written_is_cut_to_the_sensor(detector: FixedDetector) -> None:
    counts = torch.zeros(1, 3, 2, 10, 40, dtype=torch.uint8)
    counts[0, :, 1] = 1
    observer = Observer(detector, input_hw=INPUT_HW, confidence=0.95, nms_iou=0.65)
    view = observer.observe(counts, "name", 0, None)
    assert view.written.shape == (1, 2, 16, 64)
    np.testing.assert_allclose(view.written[0, 1], 3)
    np.testing.assert_allclose(view.written[0, 0], 0)
    assert view.detections.shape == (0, 6)


def test_the_sampler_is_seen_where_the_sensor_is(sampling_detector: FixedDetector) -> None:
    counts = torch.zeros(1, 4, 2, 10, 40, dtype=torch.uint8)
    counts[0, :, 1, :, :20] = 3
    observer = Observer(sampling_detector, input_hw=INPUT_HW, confidence=0.3, nms_iou=0.65)
    bounds_us = np.arange(5)
    view = observer.observe_sampler(counts, "name", 4, bounds_us)
    assert view is not None
    assert (view.sequence, view.time_us, view.steps) == ("name", 4, 4)
    assert view.slice_bounds_us is bounds_us
    assert view.trace.spikes.shape == (4, 2, 16, 64)
    assert view.trace.end_step.shape == (1, 2, 16, 64)
    assert view.trace.surplus.shape == (2, 16, 64)
    np.testing.assert_array_equal(view.trace.written.numpy(), view.output)
    np.testing.assert_array_equal(view.counts, counts.numpy())
    assert view.active[:, :31].all()
    assert not view.active[:, 33:].any()
    seen = observer.observe(counts, "name", 4, None)
    np.testing.assert_array_equal(view.output, seen.written)


def test_a_count_has_no_sampler(detector: FixedDetector) -> None:
    observer = Observer(detector, input_hw=INPUT_HW, confidence=0.3, nms_iou=0.65)
    counts = torch.zeros(1, 4, 2, *SENSOR_HW, dtype=torch.uint8)
    assert observer.observe_sampler(counts, "name", 0) is None
