from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from strategies import seeds

from easnn.data import EvaluationSampler
from easnn.evaluation import CocoEvaluator, Counts, FrameResult, build_evaluator
from easnn.utils.errors import DataError

CLASSES = ("car", "pedestrian")


def frame(number, ground_truth=(), detections=(), time_us=1_000_000):
    return FrameResult(
        number,
        time_us,
        "recording",
        np.array(ground_truth, dtype=np.float32).reshape(-1, 5),
        np.array(detections, dtype=np.float32).reshape(-1, 6),
    )


def evaluate(frames, class_names=CLASSES):
    evaluator = CocoEvaluator(class_names, split="val")
    evaluator.process(frames)
    return evaluator.evaluate()


def random_frames(count, *, seed, detections=12, scores=20):
    """Frames whose detections are partly near the ground truth and often share a score."""
    rng = np.random.default_rng(seed)
    frames = []
    for number in range(count):
        n = rng.integers(0, 5)
        boxes = np.column_stack(
            [rng.integers(0, 2, n), rng.uniform(0, 200, (n, 2)), rng.uniform(5, 150, (n, 2))]
        )
        found = np.column_stack(
            [
                rng.integers(0, 2, detections),
                rng.integers(0, scores, detections) / scores,
                rng.uniform(0, 200, (detections, 2)),
                rng.uniform(5, 150, (detections, 2)),
            ]
        )
        found[:n, 2:] = boxes[:, 1:] + rng.normal(0, 4, (n, 4))
        frames.append(frame(number, boxes, found))
    return frames


def measures(result):
    return {
        name: value for name, value in result.to_dict().items() if name.startswith(("ap", "ar"))
    }


def test_perfect_detections_score_one_in_every_size():
    boxes = [(0, 10, 10, 20, 20), (0, 50, 50, 60, 60), (1, 0, 0, 150, 150)]
    found = [(label, 0.9, x, y, w, h) for label, x, y, w, h in boxes]
    result = evaluate([frame(0, boxes, found), frame(1), frame(2, boxes, found)])
    assert result.counts == result.given == Counts(frames=3, boxes=6, detections=6)
    # With one detection per frame and class: one of two cars, and the pedestrian.
    assert measures(result) == dict.fromkeys(measures(result), 1.0) | {"ar1": 0.75}
    assert [(c.name, c.ap, c.ap50, c.ar) for c in result.per_class] == [
        (name, 1, 1, 1) for name in CLASSES
    ]
    assert [(c.boxes, c.detections) for c in result.per_class] == [(4, 4), (2, 2)]


def test_the_very_first_box_can_be_matched():
    assert evaluate([frame(0, [(0, 5, 5, 40, 40)], [(0, 0.5, 5, 5, 40, 40)])]).ap == pytest.approx(
        1
    )


def test_average_precision_counted_by_hand():
    # Of two cars one is found, with an IoU of 0.805 and the highest score; the rest is wrong. The
    # precision is 1 up to a recall of one half (51 of 101 levels), for IoU thresholds up to 0.80 (7
    # of 10).
    boxes = [(0, 0, 0, 100, 100), (0, 300, 300, 100, 100)]
    found = [(0, 0.9, 0, 0, 100, 80.5), (0, 0.8, 150, 150, 100, 100), (1, 0.7, 300, 300, 100, 100)]
    result = evaluate([frame(0, boxes, found)])
    assert result.ap50 == result.ap75 == pytest.approx(51 / 101)
    assert result.ap == pytest.approx(0.7 * 51 / 101)
    assert result.ar100 == pytest.approx(0.7 * 0.5)
    assert math.isnan(result.ap_small)
    assert math.isnan(result.per_class[1].ap)


def test_no_detection_at_all_is_a_result():
    result = evaluate([frame(0, [(0, 0, 0, 50, 50)]), frame(1, [(1, 0, 0, 50, 50)])])
    assert (result.ap, result.ap50, result.ar100) == (0, 0, 0)
    assert [c.ap for c in result.per_class] == [0, 0]


SIDES = st.floats(1, 300, width=32)
CORNERS = st.floats(-50, 1000, width=32)
TRUTH = st.lists(
    st.lists(st.tuples(st.integers(0, 1), CORNERS, CORNERS, SIDES, SIDES), max_size=6), max_size=6
)


@given(TRUTH, st.data())
def test_perfect_detections_score_one_and_none_score_zero(truth, data):
    scores = st.floats(0, 1, width=32)
    perfect = [
        frame(n, boxes, [(label, data.draw(scores), *box) for label, *box in boxes])
        for n, boxes in enumerate(truth)
    ]
    silent = [frame(n, boxes) for n, boxes in enumerate(truth)]
    there = {label for boxes in truth for label, *_ in boxes}
    for frames, expected in ((perfect, 1), (silent, 0)):
        result = evaluate(frames)
        assert [c.ap for c in result.per_class] == pytest.approx(
            [expected if label in there else math.nan for label in (0, 1)], nan_ok=True
        )
        of_all = expected if there else math.nan
        values = [result.ap, result.ap50, result.ap75, result.ar100]
        assert values == pytest.approx([of_all] * 4, nan_ok=True)


@st.composite
def found_and_missed(draw):
    """Frames with detections near the boxes and elsewhere; within a frame, no scores are equal."""
    frames = []
    for number, boxes in enumerate(draw(TRUTH)):
        rng = np.random.default_rng(draw(seeds))
        found = np.array([(*box,) for box in boxes]).reshape(-1, 5)
        found = np.concatenate(
            (found, rng.uniform([0, 0, 0, 1, 1], [2, 900, 900, 300, 300], (3, 5)))
        )
        found[:, 0] = np.floor(found[:, 0])
        found[:, 1:3] += rng.normal(0, 0.1, (len(found), 2)) * found[:, 3:]
        scores = rng.permutation(len(found)) / len(found)
        frames.append(frame(number, boxes, np.insert(found, 1, scores, axis=1)))
    return frames


@given(found_and_missed(), st.integers(1, 4), st.integers(1, 5), st.randoms(use_true_random=False))
def test_order_processes_and_batches_do_not_matter(frames, processes, batch_size, random):
    expected = evaluate(frames).to_dict()
    assert all(value is None or 0 <= value <= 1 for value in measures(evaluate(frames)).values())

    shuffled = []
    for whole in random.sample(frames, len(frames)):
        rows = random.sample(range(len(whole.detections)), len(whole.detections))
        boxes = random.sample(range(len(whole.ground_truth)), len(whole.ground_truth))
        shuffled.append(
            dataclasses.replace(
                whole, detections=whole.detections[rows], ground_truth=whole.ground_truth[boxes]
            )
        )
    assert evaluate(shuffled).to_dict() == expected

    evaluator = CocoEvaluator(CLASSES, split="val")
    for rank in range(processes):
        sampler = EvaluationSampler(len(frames), batch_size, rank=rank, world_size=processes)
        for batch in sampler:
            evaluator.process(frames[request.index] for request in batch)
    assert evaluator.evaluate().to_dict() == expected


@pytest.mark.parametrize("frames", [[], [frame(0)], [frame(0, detections=[(0, 0.5, 0, 0, 9, 9)])]])
def test_without_ground_truth_nothing_is_defined(frames):
    result = evaluate(frames)
    assert all(math.isnan(getattr(result, name)) for name in measures(result))
    assert set(measures(result).values()) == {None}
    assert result.counts.frames == len(frames)


def test_order_and_portions_do_not_matter():
    frames = random_frames(60, seed=3, scores=4)
    expected = evaluate(frames).to_dict()
    assert 0.01 < expected["ap"] < 0.9
    shuffled = [frames[n] for n in np.random.default_rng(0).permutation(len(frames))]
    evaluator = CocoEvaluator(CLASSES, split="val")
    evaluator.process(frames[:5])
    evaluator.reset()
    evaluator.process(iter(shuffled[:17]))
    evaluator.process([])
    evaluator.process(shuffled[17:])
    assert evaluator.evaluate().to_dict() == expected
    assert evaluator.evaluate().to_dict() == expected


def test_agrees_with_pycocotools_given_all_detections():
    frames = random_frames(12, seed=5, detections=260)
    images = [{"id": f.frame + 1} for f in frames]
    rows = [(f.frame + 1, *row) for f in frames for row in f.ground_truth.tolist()]
    truth, found = (
        COCO(),
        np.concatenate([np.insert(f.detections, 0, f.frame + 1, axis=1) for f in frames]),
    )
    with contextlib.redirect_stdout(io.StringIO()):
        truth.dataset = {
            "images": images,
            "categories": [{"id": 0}, {"id": 1}],
            "annotations": [
                {
                    "id": n + 1,
                    "image_id": i,
                    "category_id": c,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
                for n, (i, c, *box) in enumerate(rows)
            ],
        }
        truth.createIndex()
        reference = COCOeval(
            truth, truth.loadRes(found[:, [0, 3, 4, 5, 6, 2, 1]].astype(np.float64)), "bbox"
        )
        reference.evaluate()
        reference.accumulate()
        reference.summarize()
    assert list(measures(evaluate(frames)).values()) == pytest.approx(
        reference.stats.tolist(), abs=1e-12
    )


def test_nothing_is_printed(capsys):
    evaluate(random_frames(3, seed=0))
    assert capsys.readouterr().out == ""


def test_a_frame_given_twice_is_refused():
    with pytest.raises(DataError) as error:
        evaluate([frame(3), frame(1), frame(3)])
    assert str(error.value) == "Frame 3 must be evaluated once, but was given twice."


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize("protocol", ["coco", "prophesee"])
@pytest.mark.parametrize(
    "bad",
    [
        (0, 0.9, NAN, NAN, NAN, NAN),
        (0, 0.9, NAN, 10, 50, 50),
        (0, 0.9, 10, 10, 50, NAN),
        (0, 0.9, 10, 10, INF, 50),
        (0, 0.9, -INF, 10, INF, 50),
        (0, 0.9, 10, 10, 1e200, 1e200),
        (0, 0.9, 60, 60, -50, -50),
        (0, 0.9, 10, 60, 50, -50),
        (0, NAN, 10, 10, 50, 50),
        (0, INF, 10, 10, 50, 50),
        (NAN, 0.9, 10, 10, 50, 50),
        (0.5, 0.9, 10, 10, 50, 50),
        (-1, 0.9, 10, 10, 50, 50),
        (2, 0.9, 10, 10, 50, 50),
    ],
    ids=str,
)
def test_an_invalid_detection_hits_nothing_and_is_counted(bad, protocol):
    truth, good = (0, 10, 10, 50, 50), (0, 0.4, 10, 10, 50, 50)

    def result_of(*detections):
        evaluator = build_evaluator(protocol, CLASSES, split="val", sensor_hw=(240, 304))
        evaluator.process([FrameResult(0, 1_000_000, "a", [truth], detections)])
        return evaluator.evaluate()

    alone, beside = result_of(bad), result_of(bad, good)
    assert (alone.ap, alone.invalid_detections, alone.given.detections) == (0, 1, 0)
    assert (beside.ap, beside.invalid_detections, beside.counts.detections) == (1, 1, 1)
    assert beside.to_dict()["invalid_detections"] == 1
    lines = beside.table().splitlines()
    assert ["invalid", "1", "detections"] in [line.split() for line in lines]
    assert (
        "Invalid detections were left out: a number of them is not finite, their size is negative, "
        "or their class is unknown. Check the detector."
    ) in lines


@pytest.mark.parametrize(
    "nothing", [[], (), np.array([]), np.empty((0, 6)), np.empty((0, 5))], ids=repr
)
def test_nothing_in_any_shape_is_no_detection_and_no_box(nothing):
    truth = [(0, 10, 10, 50, 50)]
    assert evaluate([FrameResult(0, 0, "a", truth, nothing)]).ap == 0
    result = evaluate([FrameResult(0, 0, "a", nothing, nothing)])
    assert result.counts == Counts(frames=1, boxes=0, detections=0)
    assert result.invalid_detections == 0
    assert "invalid" not in result.table().lower()


@pytest.mark.parametrize(
    ("truth", "detections", "message"),
    [
        (
            [],
            [(0, 0.5, 1, 2, 3)],
            "The detections of frame 7 must be [N, 6] (class, score, left, top, width, height), "
            "but are [1, 5].",
        ),
        (
            [],
            [0, 0.5, 1, 2, 3, 4],
            "The detections of frame 7 must be [N, 6] (class, score, left, top, width, height), "
            "but are [6].",
        ),
        (
            [(0, 1, 2, 3)],
            [],
            "The ground truth of frame 7 must be [N, 5] (class, left, top, width, height), but are "
            "[1, 4].",
        ),
        (
            [("car", 1, 2, 3, 4)],
            [],
            "The ground truth of frame 7 must be rows of 5 numbers (class, left, top, width, "
            "height), but are not: could not convert string to float: 'car'.",
        ),
    ],
)
def test_rows_of_another_form_are_refused(truth, detections, message):
    with pytest.raises(DataError) as error:
        evaluate([FrameResult(7, 0, "a", truth, detections)])
    assert str(error.value) == message


@pytest.mark.parametrize("box", [(NAN, 2, 3, 4), (1, 2, INF, 4), (1, 2, 3, -4)])
def test_an_impossible_box_of_the_ground_truth_is_refused(box):
    with pytest.raises(DataError) as error:
        evaluate([frame(2), frame(7, [(0, 0, 0, 9, 9), (1, *box)])])
    shown = ", ".join(f"{number:g}" for number in box)
    assert str(error.value) == (
        "A box of the ground truth must be finite and have no negative size, but in frame 7 left, "
        f"top, width, height are {shown} (class 1). Check the labels with `easnn check-data`."
    )


def test_an_unknown_class_of_the_ground_truth_is_refused():
    with pytest.raises(DataError) as error:
        evaluate([frame(0, [(2, 0, 0, 9, 9)])])
    assert str(error.value) == (
        "The class of a ground truth box must be one of 0 … 1 (car, pedestrian), but is 2. Check "
        "that `num_classes` fits the dataset."
    )


def test_result_is_strict_json():
    result = dataclasses.replace(evaluate(random_frames(4, seed=1)), timing={"forward": 3.25})
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False)) == result.to_dict()
    undefined = evaluate([frame(0)])
    assert (
        json.loads(json.dumps(undefined.to_dict(), allow_nan=False))["per_class"][0]["ap"] is None
    )
