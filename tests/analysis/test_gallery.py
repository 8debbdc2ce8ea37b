from __future__ import annotations

import numpy as np
import pytest
import torch
from small_parts import FixedDetector, predictor_of

from easnn.analysis import SampleView, draw_gallery, sample_sheet
from easnn.analysis.gallery import file_name, moment_name, spread
from easnn.data import RecordingDataset


def test_the_same_samples_every_time(
    sampling_detector: FixedDetector, dataset: RecordingDataset
) -> None:
    predictor = predictor_of(sampling_detector)
    randomness = torch.get_rng_state()
    gallery = draw_gallery(predictor, dataset, samples=2)
    # Frames 1 and 4 of 6.
    assert list(gallery.pictures) == [
        "detections/a_600ms",
        "sampler/a_600ms",
        "detections/b_600ms",
        "sampler/b_600ms",
    ]
    assert gallery.sampler is not None
    assert gallery.sampler.samples == 2
    frame = dataset.load(1)
    seen = predictor.observe(frame.events)
    view = SampleView.of(seen, predictor.spec, frame.sequence, frame.time_us, frame.boxes.numpy())
    expected = sample_sheet(view, dataset.class_names)
    np.testing.assert_array_equal(gallery.pictures["detections/a_600ms"], expected)
    again = draw_gallery(predictor, dataset, samples=2)
    for name, picture in again.pictures.items():
        np.testing.assert_array_equal(picture, gallery.pictures[name])
    assert torch.equal(torch.get_rng_state(), randomness)


def test_a_count_has_detections_alone(detector: FixedDetector, dataset: RecordingDataset) -> None:
    gallery = draw_gallery(predictor_of(detector), dataset, samples=1)
    assert list(gallery.pictures) == ["detections/b_300ms"]
    assert gallery.sampler is None


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [(6, 2, [1, 4]), (6, 1, [3]), (2, 5, [0, 1]), (0, 3, []), (5, 5, [0, 1, 2, 3, 4])],
)
def test_positions_are_spread_evenly(length: int, count: int, expected: list[int]) -> None:
    assert spread(length, count) == expected


def test_names_of_files() -> None:
    assert file_name("a b/c:d") == "a_b_c_d"
    assert moment_name("a b", 1_234_567) == "a_b_1234ms"
