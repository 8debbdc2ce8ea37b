"""Published loading, detections and evaluation give what ours give."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from easnn.benchmark.inputs import evaluated_frames, head_outputs, write_recordings
from easnn.benchmark.reference import (
    PublishedDetector,
    place_frame,
    published_detections,
    pycocotools_precision_recall,
)
from easnn.benchmark.sections.data import loaders, training_samples
from easnn.benchmark.sections.detections import anchor_grid, own_precision
from easnn.benchmark.sections.latency import published_boxes, window_ends_us
from easnn.benchmark.settings import Settings
from easnn.events import open_dat
from easnn.inference import Predictor
from easnn.ops import Placement, place_frames, select_detections
from easnn.utils.errors import DataError

TINY = ("depth", "0.33", "width", "0.0625", "embedding_ksize", "3")
HW = (64, 96)


@pytest.fixture(scope="module")
def recording_path(tmp_path_factory):
    return write_recordings(tmp_path_factory.mktemp("data"), recordings=1, seconds=0.4)


def experiment_on(path, *words):
    folder = str(path.parents[1])
    return Settings(words=TINY).experiment("e-yolox-s", HW, "True", "data_dir", folder, *words)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize(
    "placement",
    [
        Placement(64, 81),
        Placement(40, 50, 10, 20, flip=True),
        Placement(90, 130, -20, -30, flip=True),
        Placement(1, 200, 63, -104),
    ],
)
def test_placement_of_a_frame(interpolation, placement):
    frame = np.random.default_rng(0).integers(0, 9, (1, 4, 2, 24, 30)).astype(np.float64)
    expected = place_frames(
        torch.from_numpy(frame)[None], [placement], HW, interpolation, torch.float64
    )
    found = place_frame(frame, placement, HW, interpolation)
    assert found.dtype == np.float64
    assert (found != 0).any()
    np.testing.assert_allclose(
        found, expected[0].numpy(), rtol=0, atol=2e-5
    )  # cv2: float32 weights


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_of_an_epoch(workers, recording_path):
    experiment = experiment_on(recording_path, "max_boxes", "3")
    both = loaders(experiment, training_samples(experiment), workers, batch=3)
    pairs = list(itertools.zip_longest(both["published"], both["easnn"]))
    assert len(pairs) == 2  # four labels
    for (events, targets), (expected, expected_targets) in pairs:
        assert events.shape == (3, 1, 4, 2, *HW)
        assert targets.shape == (3, 3, 5)
        torch.testing.assert_close(events, expected, rtol=0, atol=1e-5)
        assert torch.equal(targets, expected_targets)


def test_errors_of_a_dataset_reach_the_user(tmp_path):
    path = write_recordings(tmp_path, recordings=1, seconds=0.2)
    experiment = experiment_on(path)
    samples = training_samples(experiment)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        list(loaders(experiment, samples, 0, batch=1)["published"])


def test_detections_of_an_image():
    outputs = head_outputs(len(anchor_grid(HW).points_px), 2, HW, batch=2).double()
    found = published_detections(outputs, 0.05, 0.65)
    expected = select_detections(outputs, 0.05, 0.65)
    assert all(10 < len(each) < outputs.shape[1] for each in expected)
    for rows, expected_rows in zip(found, expected, strict=True):
        torch.testing.assert_close(rows, expected_rows)


def test_precision_and_recall():
    frames = evaluated_frames(30)
    found, expected = pycocotools_precision_recall(frames, 2), own_precision(frames)
    assert 0.05 < expected.ap() < 0.95
    np.testing.assert_allclose(found.precision, expected.precision, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.recall, expected.recall, rtol=0, atol=1e-12)


def test_boxes_of_a_window(recording_path):
    experiment = experiment_on(recording_path)
    torch.manual_seed(0)
    model = experiment.get_model().eval()
    predictor = Predictor.of(experiment, model, confidence=0.0, nms_iou=0.5, class_names=())
    recording = open_dat(recording_path)
    published = PublishedDetector(model).eval()
    for time_us in window_ends_us(recording, 2):
        found = published_boxes(published, predictor, recording, time_us)
        expected = predictor.detect(recording, time_us)
        assert len(found) == len(expected) > 0
        np.testing.assert_allclose(found.numpy(), expected.rows, rtol=1e-3, atol=1e-3)
