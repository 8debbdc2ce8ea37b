from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from easnn.analysis import write_strata
from easnn.evaluation import FrameResult, SideBySide, StrataRequest, build_evaluator
from easnn.evaluation.average_precision import precision_recall
from easnn.evaluation.table import FrameTable
from easnn.utils.errors import DataError

CLASSES = ("car", "pedestrian")
THRESHOLDS = np.linspace(0.5, 0.95, 10)
REQUEST = StrataRequest(window_us=200_000)

BOXES = [(0, 0, 0, 40, 40), (0, 100, 0, 40, 40), (0, 200, 0, 40, 40)]
MOTION = [(0.0, 10.0, 1.0), (0.75, 0.0, 0.6), (3.0, 0.0, 0.95)]
FOUND = [(0, 0.9, 0, 0, 40, 40), (0, 0.85, 0, 150, 40, 40), (0, 0.8, 200, 0, 40, 40)]


def evaluated(*frames, protocol="coco", request=REQUEST):
    evaluator = build_evaluator(
        protocol, CLASSES, split="val", sensor_hw=(240, 304), strata=request
    )
    evaluator.process(frames)
    return evaluator.evaluate()


def strata_of(result):
    return {(s.quantity, s.name): s for s in result.strata}


def numbers(stratum):
    return stratum.boxes, stratum.ap, stratum.ap50, stratum.ar


def test_strata_counted_by_hand():
    # The first and the third car are found, the second is not. The second detection is wrong.
    strata = strata_of(evaluated(FrameResult(0, 4_000_000, "a", BOXES, FOUND, MOTION)))
    undefined = (0, math.nan, math.nan, math.nan)
    found, missed = (1, 1, 1, 1), (1, 0, 0, 0)
    late = (1, 0.5, 0.5, 1)  # the wrong detection precedes the hit: a precision of 1/2
    # Half of two boxes, with a precision of 1/2: 51 of 101 levels of recall.
    half_of_two = (2, 51 / 101 / 2, 51 / 101 / 2, 0.5)
    # Both of two boxes: a precision of 1 at 51 levels, and 2/3 at 50.
    two = (51 + 50 * 2 / 3) / 101
    # Two of three boxes: a precision of 1 at 34 levels, and 2/3 at 33.
    three = (34 + 33 * 2 / 3) / 101
    expected = {
        "silence (s)": {
            "moves": found,
            "0 – 0.5": undefined,
            "0.5 – 1": missed,
            "1 – 2": undefined,
            "> 2": late,
            "not moved yet": undefined,
        },
        "speed (px/s)": {
            "0": half_of_two,
            "0 – 5": undefined,
            "5 – 20": found,
            "20 – 80": undefined,
            "> 80": undefined,
        },
        "visible share": {
            "0 – 0.5": undefined,
            "0.5 – 0.9": missed,
            "0.9 – 1": (2, two, two, 1),
        },
        "windows since the start": {
            **dict.fromkeys(("0 – 1", "1 – 2", "2 – 4", "4 – 8", "8 – 16"), undefined),
            "> 16": (3, three, three, 2 / 3),
        },
        "size": {"small": undefined, "medium": (3, three, three, 2 / 3), "large": undefined},
    }
    assert [*strata] == [(quantity, name) for quantity in expected for name in expected[quantity]]
    for (quantity, name), stratum in strata.items():
        assert numbers(stratum) == pytest.approx(expected[quantity][name], nan_ok=True)


def test_what_has_not_moved_since_the_start_is_a_stratum_of_its_own():
    motion = [(0.0, 1.0, 1.0), (0.7, 0.0, 1.0), (float(np.float32(0.8)), 0.0, 1.0)]
    strata = strata_of(evaluated(FrameResult(0, 800_000, "a", BOXES, FOUND, motion)))
    assert strata["silence (s)", "not moved yet"].boxes == 1
    assert strata["silence (s)", "0.5 – 1"].boxes == 1


def test_a_wrong_detection_counts_in_the_windows_of_its_frame_only():
    box = [(0, 0, 0, 40, 40)]
    hit, wrong = (0, 0.5, 0, 0, 40, 40), (0, 0.9, 150, 150, 40, 40)
    early, late = (
        FrameResult(0, 200_000, "a", box, [hit]),
        FrameResult(1, 300_000, "a", box, [hit, wrong]),
    )
    strata = strata_of(evaluated(early, late))
    assert numbers(strata["windows since the start", "0 – 1"]) == pytest.approx((1, 1, 1, 1))
    assert numbers(strata["windows since the start", "1 – 2"]) == pytest.approx((1, 0.5, 0.5, 1))
    at_zero = strata_of(evaluated(FrameResult(0, 0, "a", box, [hit])))
    assert at_zero["windows since the start", "0 – 1"].boxes == 1
    whole = evaluated(early, late, request=StrataRequest(window_us=0))
    assert {stratum.quantity for stratum in whole.strata} == {"size"}


def iou_of(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def literal_ap(frames, scored, label, threshold):
    """Average precision of a class with ignored boxes, as the COCO protocol describes it."""
    marks, total = [], 0
    for frame, counts in zip(frames, scored, strict=True):
        boxes = [(b[1:], ok) for b, ok in zip(frame.ground_truth, counts, strict=True)
                 if b[0] == label]  # fmt: skip
        total += sum(ok for _, ok in boxes)
        free = set(range(len(boxes)))
        for row in sorted((d for d in frame.detections if d[0] == label), key=lambda d: -d[1]):
            near = [(boxes[n][1], iou_of(row[2:], boxes[n][0]), n) for n in free]
            near = [match for match in near if match[1] >= threshold]
            if near:  # a scored box first, then the one with the largest IoU
                counted, _, number = max(near)
                free.remove(number)
                marks += [(-row[1], frame.frame, True)] if counted else []
            else:
                marks.append((-row[1], frame.frame, False))
    if not total:
        return math.nan
    hits = np.cumsum([hit for *_, hit in sorted(marks, key=lambda mark: mark[:2])])
    precision = hits / np.arange(1, len(hits) + 1)
    recall = hits / total
    return np.mean(
        [max(precision[recall >= level], default=0.0) for level in np.linspace(0, 1, 101)]
    )


@pytest.mark.parametrize("seed", range(6))
def test_ignored_boxes_agree_with_a_literal_computation(seed):
    rng = np.random.default_rng(seed)
    frames, scored = [], []
    for number in range(6):
        n = int(rng.integers(0, 7))
        boxes = np.column_stack(
            [rng.integers(0, 2, n), rng.uniform(0, 120, (n, 2)), rng.uniform(20, 80, (n, 2))]
        )
        near = boxes[:, 1:] + rng.normal(0, 5, (n, 4))
        found = np.concatenate([near, near[::2] + 2, rng.uniform(20, 80, (4, 4))])
        labels = np.concatenate([boxes[:, 0], boxes[::2, 0], rng.integers(0, 2, 4)])
        scores = rng.permutation(1000)[: len(found)] / 1000
        rows = np.column_stack([labels, scores, found])
        rows[:, 4:] = np.maximum(rows[:, 4:], 1)
        frames.append(FrameResult(number, 0, "a", boxes, rows))
        scored.append(rng.random(n) < 0.5)
    table = FrameTable.of(frames, CLASSES)
    curves = precision_recall(table, 2, scored=np.concatenate(scored))
    for label in (0, 1):
        expected = np.mean([literal_ap(frames, scored, label, t) for t in THRESHOLDS])
        assert curves.ap(label=label) == pytest.approx(expected, abs=1e-9, nan_ok=True)
    everything = precision_recall(table, 2, scored=np.ones(len(table.boxes), bool))
    assert everything.ap() == pytest.approx(precision_recall(table, 2).ap())


def test_size_is_that_of_the_whole_result():
    result = evaluated(FrameResult(0, 4_000_000, "a", BOXES, FOUND))
    strata = strata_of(result)
    for area in ("small", "medium", "large"):
        expected = (getattr(result, f"ap_{area}"), getattr(result, f"ar_{area}"))
        stratum = strata["size", area]
        assert (stratum.ap, stratum.ar) == pytest.approx(expected, nan_ok=True)


def test_a_result_without_strata_does_not_mention_them():
    frame = FrameResult(0, 4_000_000, "a", BOXES, FOUND, MOTION)
    plain, asked = (evaluated(frame, request=request) for request in (None, REQUEST))
    assert plain.strata is None
    assert "strata" not in plain.to_dict()
    assert asked.to_dict() | {"strata": None} == plain.to_dict() | {"strata": None}
    assert asked.to_dict()["strata"][2] == {
        "quantity": "silence (s)",
        "name": "0.5 – 1",
        "ap": 0.0,
        "ap50": 0.0,
        "ar": 0.0,
        "boxes": 1,
    }
    assert asked.table().startswith(plain.table())
    assert asked.strata_tables()[0] == EXPECTED_TABLE


def test_the_filters_of_a_protocol_come_first_and_strata_stand_side_by_side():
    small = [*BOXES, (0, 10, 100, 9, 9)]
    frames = [FrameResult(0, 4_000_000, "a", small, FOUND, [*MOTION, (0.0, 10.0, 1.0)])]
    both = SideBySide(
        [
            build_evaluator(name, CLASSES, split="val", sensor_hw=(240, 304), strata=REQUEST)
            for name in ("prophesee", "coco")
        ]
    )
    both.process(frames)
    result = both.evaluate()
    boxes = [strata_of(r)["silence (s)", "moves"].boxes for r in (result, result.beside[0])]
    assert boxes == [1, 2]
    assert "\nprophesee: silence (s) " in result.table()
    assert "\ncoco: silence (s) " in result.table()
    assert [len(r["strata"]) for r in (result.to_dict(), *result.to_dict()["beside"])] == [23, 23]


def test_labels_that_say_nothing_about_motion_leave_a_note():
    result = evaluated(FrameResult(0, 4_000_000, "a", BOXES, FOUND))
    assert {s.quantity for s in result.strata} == {"windows since the start", "size"}
    assert result.strata_tables()[-1] == (
        "The labels do not say how objects move (`still_s`, `speed` and `visible` in _bbox.npy), "
        "so there are no strata of silence, speed and visibility."
    )


def test_silence_that_is_measured_from_events_is_named_so():
    measured = [(silence, math.nan, math.nan) for silence, *_ in MOTION]
    request = StrataRequest(window_us=200_000, silence_by_events=True)
    result = evaluated(FrameResult(0, 4_000_000, "a", BOXES, FOUND, measured), request=request)
    labelled = strata_of(evaluated(FrameResult(0, 4_000_000, "a", BOXES, FOUND, MOTION)))
    found = {(s.quantity, s.name): s.ap for s in result.strata}
    assert {quantity for quantity, _ in found} == {
        "silence by events (s)",
        "windows since the start",
        "size",
    }
    for name in ("moves", "0.5 – 1", "> 2"):
        assert found["silence by events (s)", name] == labelled["silence (s)", name].ap
    assert result.strata_tables()[-1] == (
        "The labels do not say how objects move (`still_s`, `speed` and `visible` in _bbox.npy), "
        "so silence is measured from events, and there are no strata of speed and visibility."
    )


def test_motion_must_belong_to_the_boxes():
    with pytest.raises(DataError) as error:
        evaluated(FrameResult(7, 0, "a", BOXES, FOUND, MOTION[:2]))
    assert str(error.value) == (
        "The motion of frame 7 must be [3, 3] (still_s, speed, visible), one row for each box, but "
        "is [2, 3]."
    )


def test_a_picture_shows_every_quantity(tmp_path):
    result = evaluated(FrameResult(0, 4_000_000, "a", BOXES, FOUND, MOTION))
    path = write_strata(result, tmp_path / "strata.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    only_size = dataclasses.replace(result, strata=result.strata[-3:])
    assert write_strata(only_size, tmp_path / "size.png").stat().st_size < path.stat().st_size


EXPECTED_TABLE = """\
silence (s)    AP      AP50    AR100    boxes
-------------  ------  ------  -------  -------
moves          1.0000  1.0000  1.0000   1
0 – 0.5        –       –       –        0
0.5 – 1        0.0000  0.0000  0.0000   1
1 – 2          –       –       –        0
> 2            0.5000  0.5000  1.0000   1
not moved yet  –       –       –        0"""
