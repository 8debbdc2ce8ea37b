from __future__ import annotations

import dataclasses

import numpy as np

from easnn.evaluation import FrameResult, SideBySide, build_evaluator

BOXES = np.array([[0, 0, 0, 50, 50], [1, 100, 0, 50, 50], [0, 9, 9, 9, 9]], dtype=np.float32)
FOUND = np.array([[0, 0.9, 0, 0, 50, 50]], dtype=np.float32)
FRAMES = (FrameResult(0, 1_000_000, "a", BOXES, FOUND), FrameResult(1, 0, "a", BOXES, FOUND))


def evaluator_of(protocol):
    return build_evaluator(protocol, ("car", "pedestrian"), split="test", sensor_hw=(240, 304))


def result_of(protocol):
    evaluator = evaluator_of(protocol)
    evaluator.process(FRAMES)
    return evaluator.evaluate()


def test_table_says_what_was_evaluated_and_filtered():
    result = dataclasses.replace(result_of("prophesee"), timing={"forward": 12.3456, "nms": 0.5})
    assert result.table() == EXPECTED


def test_two_protocols_stand_side_by_side():
    both = SideBySide([evaluator_of("prophesee"), evaluator_of("coco")])
    both.process([FrameResult(5, 0, "a", BOXES, FOUND)])
    both.reset()
    both.process(iter(FRAMES))
    result = both.evaluate()
    assert result.table() == EXPECTED_BOTH
    coco = result_of("coco").to_dict()
    assert result.to_dict() == {**result_of("prophesee").to_dict(), "beside": [coco]}


def test_table_of_the_coco_protocol_filters_nothing():
    lines = result_of("coco").table().splitlines()
    assert lines[:6] == [
        "protocol    coco",
        "split       test",
        "frames      2",
        "boxes       6",
        "detections  2",
        "left out    nothing",
    ]


def test_a_protocol_that_leaves_nothing_to_score_says_so():
    both = SideBySide([evaluator_of("coco"), evaluator_of("prophesee")])
    # Within the first 0.5 s, like all frames of N-Caltech101.
    both.process([FrameResult(0, 0, "a", BOXES, FOUND)])
    notes = [line for line in both.evaluate().table().splitlines() if line.startswith("The ")]
    assert notes == [
        "The prophesee protocol leaves no box to score, so every metric is undefined (–) and "
        "cannot select a best checkpoint."
    ]


EXPECTED = """\
protocol      prophesee
split         test
frames        1 of 2
boxes         2 of 6
detections    1 of 2
left out      frames of the first 0.5 s of a recording
              boxes and detections with a diagonal < 30 px or a side < 10 px
              frames without a box left, and their detections
ms per frame  forward 12.35, nms 0.50

AP         0.5000  AR1        0.5000
AP50       0.5000  AR10       0.5000
AP75       0.5000  AR100      0.5000
AP small   –       AR small   –
AP medium  0.5000  AR medium  0.5000
AP large   –       AR large   –

class       AP      AP50    AR100    boxes    detections
----------  ------  ------  -------  -------  ------------
car         1.0000  1.0000  1.0000   1        1
pedestrian  0.0000  0.0000  0.0000   1        0"""

EXPECTED_BOTH = """\
protocol    prophesee                                                       coco
split       test                                                            test
frames      1 of 2                                                          2
boxes       2 of 6                                                          6
detections  1 of 2                                                          2
left out    frames of the first 0.5 s of a recording                        nothing
            boxes and detections with a diagonal < 30 px or a side < 10 px
            frames without a box left, and their detections

           prophesee  coco
AP         0.5000     0.2525
AP50       0.5000     0.2525
AP75       0.5000     0.2525
AP small   –          0.0000
AP medium  0.5000     0.5000
AP large   –          –
AR1        0.5000     0.2500
AR10       0.5000     0.2500
AR100      0.5000     0.2500
AR small   –          0.0000
AR medium  0.5000     0.5000
AR large   –          –

prophesee: class    AP      AP50    AR100    boxes    detections
------------------  ------  ------  -------  -------  ------------
car                 1.0000  1.0000  1.0000   1        1
pedestrian          0.0000  0.0000  0.0000   1        0

coco: class    AP      AP50    AR100    boxes    detections
-------------  ------  ------  -------  -------  ------------
car            0.5050  0.5050  0.5000   4        2
pedestrian     0.0000  0.0000  0.0000   2        0"""
