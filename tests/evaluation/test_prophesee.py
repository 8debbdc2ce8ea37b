from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.lib.recfunctions import structured_to_unstructured

from easnn.evaluation import CocoEvaluator, Counts, FrameResult, PropheseeEvaluator, build_evaluator
from easnn.utils.errors import ConfigError

LATE_US = 500_001
GOLDEN = {
    "ap": "AP",
    "ap50": "AP_50",
    "ap75": "AP_75",
    "ap_small": "AP_S",
    "ap_medium": "AP_M",
    "ap_large": "AP_L",
}


def frame(number, ground_truth=(), detections=(), time_us=LATE_US):
    return FrameResult(
        number,
        time_us,
        "recording",
        np.array(ground_truth, dtype=np.float32).reshape(-1, 5),
        np.array(detections, dtype=np.float32).reshape(-1, 6),
    )


def evaluate(frames):
    evaluator = PropheseeEvaluator(("car",), split="test", min_diagonal_px=30, min_side_px=10)
    evaluator.process(frames)
    return evaluator.evaluate()


@pytest.mark.parametrize("case", [0, 1], ids=["gen1", "gen4_ds2"])
def test_golden_figures(golden, case):
    expected = json.loads((golden / "data" / "prophesee_eval.json").read_text())[case]
    arrays, tag = np.load(golden / "data" / "prophesee_eval.npz"), expected["tag"]
    truth, found = (
        np.split(arrays[f"{tag}|{kind}"], np.cumsum(arrays[f"{tag}|{kind}_n"])[:-1])
        for kind in ("gt", "dt")
    )
    evaluator = build_evaluator(
        "prophesee", "abc", split="test", sensor_hw=(expected["height"], expected["width"])
    )
    evaluator.process(
        FrameResult(
            number,
            int(np.concatenate((boxes["t"], detections["t"]))[0]),
            "recording",
            structured_to_unstructured(boxes[["class_id", "x", "y", "w", "h"]]),
            structured_to_unstructured(
                detections[["class_id", "class_confidence", "x", "y", "w", "h"]]
            ),
        )
        for number, (boxes, detections) in enumerate(zip(truth, found, strict=True))
    )
    result = evaluator.evaluate()
    for ours, theirs in GOLDEN.items():
        assert getattr(result, ours) == pytest.approx(expected["result"][theirs], abs=1e-6), ours


def test_the_first_half_second_does_not_count():
    box, detection = (0, 0, 0, 50, 50), (0, 0.9, 0, 0, 50, 50)
    frames = [frame(0, [box], time_us=500_000), frame(1, [box], [detection], time_us=500_001)]
    result = evaluate(frames)
    assert (result.given, result.counts) == (Counts(2, 2, 1), Counts(1, 1, 1))
    assert result.ap == pytest.approx(1)


@pytest.mark.parametrize(
    ("width", "height", "counts"),
    [
        (18, 24, True),  # a diagonal of exactly 30
        (18, 23.9, False),
        (10, 50, True),
        (50, 10, True),
        (9.9, 50, False),
        (50, 9.9, False),
    ],
)
def test_small_boxes_and_detections_do_not_count(width, height, counts):
    large = frame(0, [(0, 0, 0, 50, 50)], [(0, 0.5, 0, 0, 50, 50)])
    tested = frame(
        1, [(0, 0, 0, 50, 50), (0, 100, 100, width, height)], [(0, 0.9, 200, 100, width, height)]
    )
    result = evaluate([large, tested])
    assert result.given == Counts(2, 3, 2)
    assert result.counts == (Counts(2, 3, 2) if counts else Counts(2, 2, 1))


def test_a_frame_whose_boxes_are_all_filtered_does_not_count():
    false_alarm = (0, 0.9, 0, 0, 90, 90)
    frames = [
        frame(0, [(0, 0, 0, 50, 50)], [(0, 0.5, 0, 0, 50, 50)]),
        frame(1, [(0, 0, 0, 5, 5)], [false_alarm]),
        frame(2, [], [false_alarm]),
    ]
    result = evaluate(frames)
    assert result.counts == Counts(1, 1, 1)
    assert result.ap == pytest.approx(1)
    coco = CocoEvaluator(("car",), split="test")
    coco.process(frames)
    assert coco.evaluate().ap < 0.5


def test_nothing_left_is_a_result():
    result = evaluate([frame(0, [(0, 0, 0, 5, 5)], [(0, 0.5, 0, 0, 50, 50)])])
    assert result.counts == Counts(0, 0, 0)
    assert result.to_dict()["ap"] is None


@pytest.mark.parametrize(
    ("sensor_hw", "limits"),
    [((240, 304), (30, 10)), ((360, 640), (30, 10)), ((720, 1280), (60, 20))],
)
def test_limits_belong_to_the_sensor(sensor_hw, limits):
    evaluator = build_evaluator("prophesee", ("car",), split="test", sensor_hw=sensor_hw)
    assert (evaluator.min_diagonal_px, evaluator.min_side_px, evaluator.skip_us) == (
        *limits,
        500_000,
    )


def test_an_unknown_protocol_is_refused():
    with pytest.raises(ConfigError) as error:
        build_evaluator("profesee", ("car",), split="test", sensor_hw=(240, 304))
    assert str(error.value) == (
        "The protocol must be one of coco, prophesee, but is `profesee`. Did you mean `prophesee`?"
    )
