from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from engine_toys import CPU, SENSOR_HW, ToyDetector, ToyLoader, evaluate, toy_batch, toy_predictor

from easnn.data import DetectionBatch, EvaluationSampler
from easnn.engine import evaluate as evaluate_predictor
from easnn.engine.step import batch_norms
from easnn.evaluation import build_evaluator
from easnn.inference import Predictor
from easnn.inference.forward import GROUP, fixed_form
from easnn.models import DetectorConfig, SpikeMode, build_detector
from easnn.ops import letterbox_placement
from easnn.representations import FrameSpec


@dataclass
class Recorder:
    """An evaluator that keeps what it is given; its result is that of the COCO protocol."""

    frames: list = field(default_factory=list)

    def reset(self):
        self.frames.clear()

    def process(self, frames):
        self.frames.extend(frames)

    def evaluate(self):
        coco = build_evaluator("coco", ["car", "pedestrian"], split="val", sensor_hw=SENSOR_HW)
        coco.process(self.frames)
        return coco.evaluate()


class Oracle(torch.nn.Module):
    """Detects one box in an 8×16 input; the counts of the first and last pixel give its centre."""

    def forward(self, events):
        x, y = events[:, 0, 0, 0, 0, 0], events[:, 0, 0, 0, -1, -1]
        one = torch.ones_like(x)
        return torch.stack((x, y, 4 * one, 2 * one, 0.9 * one, 0.1 * one, 0.5 * one), dim=-1)[
            :, None
        ]


def test_detections_come_back_in_sensor_pixels():
    events = torch.zeros(2, 1, 1, 2, 4, 8)
    events[0, 0, 0, 0, 0, 0], events[0, 0, 0, 0, -1, -1] = 6.0, 3.0
    placement = letterbox_placement((4, 8), (8, 16))  # twice as large
    batch = DetectionBatch(
        events=events,
        boxes=torch.tensor([[[1.0, 2, 1, 2, 1], [0, 0, 0, 0, 0]], [[0, 0, 0, 0, 0]] * 2]),
        placements=(placement, placement),
        indices=(4, 7),
        times_us=(10, 20),
        sequences=("a", "b"),
    )
    recorder = Recorder()
    predictor = Predictor(Oracle(), FrameSpec(Tm=1), input_hw=(8, 16), confidence=0.4, nms_iou=0.5)
    result = evaluate_predictor(predictor, [batch], recorder)
    first, second = recorder.frames
    assert (first.frame, first.time_us, first.sequence) == (4, 10, "a")
    assert first.ground_truth.tolist() == [[1, 2, 1, 2, 1]]
    np.testing.assert_allclose(first.detections, [[1, 0.45, 2, 1, 2, 1]], rtol=1e-6)
    assert second.ground_truth.shape == (0, 5)
    assert result.counts.frames == 2
    assert result.ap == pytest.approx(1.0)
    assert result.timing is None


def test_no_frame_and_no_detection_are_results():
    assert np.isnan(evaluate(ToyDetector(), length=0).ap)
    model = ToyDetector()
    torch.nn.init.constant_(model.head.bias, -50.0)
    result = evaluate(model)
    assert (result.ap, result.counts.detections) == (0.0, 0)


def test_timing_is_measured_on_request():
    evaluator = build_evaluator("coco", ["car", "pedestrian"], split="val", sensor_hw=SENSOR_HW)
    loader = ToyLoader(EvaluationSampler(5, 2))
    result = evaluate_predictor(toy_predictor(ToyDetector()), loader, evaluator, timed=True)
    assert list(result.timing) == ["input", "network", "detections"]
    assert all(milliseconds > 0 for milliseconds in result.timing.values())


def test_frames_keep_their_order_whatever_the_batches():
    sizes = (3, GROUP + 4, 1, 2)
    numbers = iter(range(100))
    batches = [toy_batch([next(numbers) for _ in range(size)]) for size in sizes]
    predictor = toy_predictor(ToyDetector())
    frames = list(predictor.detect_batches(batches))
    assert [frame.index for frame, _ in frames] == list(range(18))
    alone = [
        rows
        for batch in (toy_batch([n]) for n in range(18))
        for _, rows in predictor.detect_batches([batch])
    ]
    assert all(torch.equal(a, rows) for a, (_, rows) in zip(alone, frames, strict=True))


class TestWithTheDetector:
    """The real network at a size where CPU kernels round differently for different batch sizes."""

    @pytest.fixture(scope="class")
    def detector(self, events):
        torch.manual_seed(0)
        config = DetectorConfig(
            num_classes=2,
            depth=0.33,
            width=0.25,
            use_spike=SpikeMode.BACKBONE,
            T=2,
            embedding="arsnn",
            embedding_depth=2,
            embedding_ksize=5,
        )
        detector = build_detector(config)
        for layer in batch_norms(detector):
            layer.momentum = 1.0  # one pass gives the statistics with which neurons fire
        with torch.no_grad():
            detector(events, torch.zeros(len(events), 1, 5))
        return detector

    @pytest.fixture(scope="class")
    def events(self):
        return torch.poisson(
            torch.full((9, 1, 4, 2, 64, 96), 0.7), generator=torch.Generator().manual_seed(1)
        )

    def test_an_output_depends_on_its_frame_alone(self, detector, events):
        def outputs(size, threads):
            torch.set_num_threads(threads)
            with fixed_form(CPU, "exact") as run:
                detector.eval()
                parts = [run(detector, part) for part in events.split(size)]
            assert torch.get_num_threads() == threads
            return torch.stack([result[position] for part in parts for result, position in part])

        alone = outputs(1, 1)
        assert alone.std(dim=0).max() > 0  # frames differ
        assert torch.equal(alone, outputs(9, 1))
        assert torch.equal(alone, outputs(4, 2))

    def test_the_result_does_not_depend_on_the_batch_size(self, detector):
        def result(batch_size):
            recorder = Recorder()
            predictor = Predictor(
                detector, FrameSpec(), input_hw=(64, 96), confidence=0.0, nms_iou=0.5
            )
            evaluate_predictor(predictor, ToyLoader(EvaluationSampler(9, batch_size)), recorder)
            return recorder.frames

        for one, many in zip(result(1), result(9), strict=True):
            assert one.frame == many.frame
            assert np.array_equal(one.detections, many.detections)
