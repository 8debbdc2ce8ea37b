from __future__ import annotations

import numpy as np
import torch
from small_parts import SENSOR_HW, FixedDetector, predictor_of


def test_detections_are_in_pixels_of_the_frame(detector: FixedDetector) -> None:
    frame = torch.zeros(1, 4, 2, *SENSOR_HW, dtype=torch.uint8)
    seen = predictor_of(detector).observe(frame)
    # class, score, (centre − size / 2) / 1.6, size / 1.6
    expected = [[0, 0.9, 15, 7.5, 10, 5], [1, 0.4, 7.5, 10, 5, 10]]
    np.testing.assert_allclose(seen.detections, expected, rtol=1e-6)
    assert seen.frame is frame


def test_what_was_written_is_cut_to_the_sensor(detector: FixedDetector) -> None:
    frame = torch.zeros(1, 3, 2, 10, 40, dtype=torch.uint8)
    frame[0, :, 1] = 1
    seen = predictor_of(detector, confidence=0.95).observe(frame)
    assert seen.written.shape == (1, 2, 16, 64)
    np.testing.assert_allclose(seen.written[0, 1], 3)
    np.testing.assert_allclose(seen.written[0, 0], 0)
    assert seen.detections.shape == (0, 6)


def test_the_sampler_is_traced_where_the_sensor_is(sampling_detector: FixedDetector) -> None:
    frame = torch.zeros(1, 4, 2, 10, 40, dtype=torch.uint8)
    frame[0, :, 1, :, :20] = 3
    predictor = predictor_of(sampling_detector)
    seen = predictor.observe(frame, trace=True)
    assert seen.trace is not None
    assert seen.trace.spikes.shape == (4, 2, 16, 64)
    assert seen.trace.end_step.shape == (1, 2, 16, 64)
    assert seen.trace.surplus.shape == (2, 16, 64)
    assert torch.equal(seen.trace.written, seen.written)
    assert seen.active.shape == (16, 64)
    assert seen.active[:, :31].all()
    assert not seen.active[:, 33:].any()
    plain = predictor.observe(frame)
    assert plain.trace is None
    assert torch.equal(plain.written, seen.written)
    assert torch.equal(plain.detections, seen.detections)


def test_several_frames_give_what_each_gives_alone(sampling_detector: FixedDetector) -> None:
    frames = [torch.full((1, 4, 2, *SENSOR_HW), n, dtype=torch.uint8) for n in range(3)]
    predictor = predictor_of(sampling_detector)
    for frame, seen in zip(frames, predictor.observe_all(frames, trace=True), strict=True):
        alone = predictor.observe(frame, trace=True)
        assert torch.equal(seen.written, alone.written)
        assert torch.equal(seen.active, alone.active)
        assert seen.trace is not None
        assert alone.trace is not None
        assert torch.equal(seen.trace.spikes, alone.trace.spikes)


def test_a_count_has_no_trace(detector: FixedDetector) -> None:
    frame = torch.zeros(1, 4, 2, *SENSOR_HW, dtype=torch.uint8)
    assert predictor_of(detector).observe(frame, trace=True).trace is None
