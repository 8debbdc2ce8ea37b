"""Evaluating a detector on a dataset, by one process or by many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from easnn.data import DetectionBatch, named_worker_failures
from easnn.engine.forward import frame_forward, in_groups
from easnn.engine.parts import EvalLoader, Prepare
from easnn.evaluation import EvaluationResult, Evaluator, FrameResult
from easnn.ops import Placement, select_detections, unplace_detections
from easnn.utils.device import synchronize
from easnn.utils.distributed import barrier, gather_objects
from easnn.utils.logging import on_terminal
from easnn.utils.meters import Stopwatch

PORTION = 1000
"""Frames of each process that are exchanged at a time, which bounds the memory that the exchange takes."""


class LabelledFrame(NamedTuple):
    """What is known about a frame before it is looked at."""

    number: int
    time_us: int
    sequence: str
    ground_truth: np.ndarray
    placement: Placement
    sensor_hw: tuple[int, int]


def evaluate_detector(
    model: nn.Module,
    loader: EvalLoader,
    evaluator: Evaluator,
    *,
    prepare: Prepare,
    confidence: float,
    nms_iou: float,
    device: torch.device,
    fp16: bool = False,
    timed: bool = False,
) -> EvaluationResult:
    """Detect objects in every frame and score them; every process calls this and gets the same result.

    The processes may have different numbers of frames, or none. The result depends neither on the number of
    processes nor on that of workers nor on the batch size.

    Args:
        model: The detector on ``device``; it is left in evaluation mode.
        loader: This process's part of the frames.
        evaluator: The protocol.
        prepare: Makes the network's input from a batch on the device.
        confidence: Least score of a detection.
        nms_iou: Greatest IoU of two detections of a class.
        device: Where to compute.
        fp16: Whether to use mixed precision.
        timed: Whether the result tells the milliseconds per frame of input, network and choice of detections.

    Raises:
        TrainingError: if a process does not come to the end in time.
    """
    timer = PartTimer(device, enabled=timed)
    frames: list[FrameResult] = []
    with (
        torch.inference_mode(),
        named_worker_failures(),
        frame_forward(model, device, mixed=fp16) as forward,
        tqdm(loader, desc="evaluation", unit="batch", leave=False, disable=not on_terminal()) as batches,
    ):
        for events, labelled in in_groups(_inputs(batches, prepare, device, timer)):
            with timer.measure("network"):
                outputs = forward(events)
            with timer.measure("detections"):
                detections = select_detections(outputs, confidence, nms_iou)
            frames += [_result(frame, rows.cpu()) for frame, rows in zip(labelled, detections, strict=True)]
    barrier("the end of the evaluation")
    evaluator.reset()
    for portion in _gathered(frames):
        evaluator.process(portion)
    return replace(evaluator.evaluate(), timing=timer.milliseconds_per(len(frames)))


class PartTimer:
    """Measures parts of the work on a device, if it is enabled: waiting for the device costs time itself.

    Args:
        device: Where the work is done.
        enabled: Whether to measure.
    """

    def __init__(self, device: torch.device, *, enabled: bool) -> None:
        self._device = device
        self._enabled = enabled
        self._stopwatch = Stopwatch()

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the duration of the block, on the device, to ``part``."""
        if not self._enabled:
            yield
            return
        synchronize(self._device)
        with self._stopwatch.measure(part):
            yield
            synchronize(self._device)

    def milliseconds_per(self, frames: int) -> dict[str, float] | None:
        """Return the mean duration of each part for a frame, over all processes; every process calls this."""
        if not self._enabled:
            return None
        of_processes = gather_objects((self._stopwatch.seconds, frames))
        all_frames = sum(count for _, count in of_processes)
        parts = dict.fromkeys(part for seconds, _ in of_processes for part in seconds)
        return {
            part: 1000.0 * sum(seconds.get(part, 0.0) for seconds, _ in of_processes) / all_frames
            for part in parts
        }


def _inputs(
    batches: Iterable[DetectionBatch], prepare: Prepare, device: torch.device, timer: PartTimer
) -> Iterator[tuple[Tensor, list[LabelledFrame]]]:
    """Yield the network's input for each batch, and what is known about its frames."""
    for batch in batches:
        labelled = [
            LabelledFrame(*of_frame, batch.sensor_hw)
            for of_frame in zip(
                batch.indices,
                batch.times_us,
                batch.sequences,
                batch.ground_truth(),
                batch.placements,
                strict=True,
            )
        ]
        with timer.measure("input"):
            events, _ = prepare(batch.to(device))
        yield events, labelled


def _result(frame: LabelledFrame, detections: Tensor) -> FrameResult:
    """Take the detections ``[M, 6]`` (x1, y1, x2, y2, score, class) of a frame back to sensor pixels."""
    rows = unplace_detections(detections, frame.placement, frame.sensor_hw)
    return FrameResult(frame.number, frame.time_us, frame.sequence, frame.ground_truth, rows.numpy())


def _gathered(frames: Sequence[FrameResult]) -> Iterator[list[FrameResult]]:
    """Yield the frames of all processes, a portion at a time, in the same order on each of them."""
    most = max(gather_objects(len(frames)))
    for start in range(0, most, PORTION):
        yield [frame for part in gather_objects(list(frames[start : start + PORTION])) for frame in part]
