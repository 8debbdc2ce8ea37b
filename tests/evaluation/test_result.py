from __future__ import annotations

import dataclasses

import numpy as np

from easnn.evaluation import FrameResult, build_evaluator


def result_of(protocol):
    boxes = np.array([[0, 0, 0, 50, 50], [1, 100, 0, 50, 50], [0, 9, 9, 9, 9]], dtype=np.float32)
    found = np.array([[0, 0.9, 0, 0, 50, 50]], dtype=np.float32)
    evaluator = build_evaluator(protocol, ("car", "pedestrian"), split="test", sensor_hw=(240, 304))
    evaluator.process([FrameResult(0, 1_000_000, "a", boxes, found), FrameResult(1, 0, "a", boxes, found)])
    return evaluator.evaluate()


def test_table_says_what_was_evaluated_and_filtered():
    result = dataclasses.replace(result_of("prophesee"), timing={"forward": 12.3456, "nms": 0.5})
    assert result.table() == EXPECTED


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
