"""Evaluation of a detector on a dataset, in one or several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from easnn.data import DetectionBatch, DetectionDataset, FrameCache, named_worker_failures
from easnn.evaluation import EvaluationResult, Evaluator, FrameResult, KeptFrames
from easnn.exp import EventExp
from easnn.inference import Predictor
from easnn.utils.distributed import barrier, gather_objects, is_main, note_place
from easnn.utils.logging import on_terminal
from easnn.utils.meters import PartTimer
from easnn.utils.options import RuntimeName

PORTION = 1000
"""Frames per process and gather operation; limits the memory that gathering needs."""

Evaluation = Callable[[nn.Module], EvaluationResult]
"""Evaluates a model; a collective operation that every process calls."""


Written = Callable[[DetectionDataset, Sequence[FrameResult], EvaluationResult], None]
"""Writes what an evaluation has found."""


class EvalLoader(Protocol):
    """Loads this process's share of the frames; every frame belongs to exactly one process."""

    def __len__(self) -> int:
        """Return the number of batches; it may be 0."""
        ...

    def __iter__(self) -> Iterator[DetectionBatch]:
        """Yield the batches."""
        ...


def evaluate(
    predictor: Predictor,
    loader: EvalLoader,
    evaluator: Evaluator,
    *,
    timed: bool = False,
    motion_of: Callable[[int], np.ndarray | None] | None = None,
) -> EvaluationResult:
    """Detect objects in every frame and score them.

    Every process calls this and gets the same result. Processes may have different numbers of
    frames, or none. The result does not depend on the number of processes, the number of data
    workers or the batch size.

    Args:
        predictor: the detector.
        loader: this process's share of the frames.
        evaluator: the protocol.
        timed: whether to measure the milliseconds per frame of input, network and postprocessing.
        motion_of: returns how the objects of a frame move, for strata: see
            :meth:`easnn.data.DetectionDataset.motion`.

    Raises:
        TrainingError: if a process does not finish in time.
    """
    timer = PartTimer(predictor.device, enabled=timed)
    frames: list[FrameResult] = []
    note_place("the evaluation")
    with (
        named_worker_failures(),
        _progress(loader) as batches,
        closing(predictor.detect_batches(batches, timer)) as detected,
    ):
        for frame, rows in detected:
            frames.append(
                FrameResult(
                    frame.index,
                    frame.time_us,
                    frame.sequence,
                    frame.ground_truth,
                    rows.numpy(),
                    None if motion_of is None else motion_of(frame.index),
                )
            )
            note_place(f"the evaluation, after {len(frames)} frames")
    barrier("the end of the evaluation")
    evaluator.reset()
    for portion in _gathered(frames):
        evaluator.process(portion)
    return replace(evaluator.evaluate(), timing=timer.milliseconds_per(len(frames)))


def evaluation_of(
    experiment: EventExp,
    *,
    batch_size: int,
    device: torch.device,
    timed: bool = False,
    cache: FrameCache | None = None,
    runtime: RuntimeName = "torch",
    frames: int | None = None,
    strata: bool = False,
    written: Written | None = None,
) -> Evaluation:
    """Return a function that evaluates a model on ``eval_split`` of an experiment.

    Args:
        experiment: defines frames, protocol, thresholds and precision.
        batch_size: global batch size, over all processes.
        device: device of the model.
        timed: whether to measure the time per frame.
        cache: cache of frames, if any.
        runtime: what computes the network; the function raises a ConfigError if it cannot be used.
        frames: only the first frames of the split, so many; None: all.
        strata: whether the result also has the measures of strata.
        written: called with the dataset, all frames with their detections, and the result, in the
            main process only.

    Raises:
        ConfigError: if a key does not fit the dataset.
        DataError: if the dataset's files are incomplete or invalid.
    """
    loader = experiment.get_eval_loader(batch_size=batch_size, device=device, cache=cache)
    dataset = loader.dataset
    # An experiment that builds its own evaluator need not know of strata.
    asked = {"strata": True} if strata else {}
    evaluator = experiment.get_evaluator(dataset, **asked)
    motion_of = dataset.motion if strata else None
    if frames is not None:
        loader.sampler.limit(frames)

    def run(model: nn.Module) -> EvaluationResult:
        predictor = Predictor.of(experiment, model, runtime=runtime)
        if written is None or not is_main():
            return evaluate(predictor, loader, evaluator, timed=timed, motion_of=motion_of)
        kept = KeptFrames(evaluator)
        result = evaluate(predictor, loader, kept, timed=timed, motion_of=motion_of)
        written(dataset, kept.frames, result)
        return result

    return run


def _progress(loader: EvalLoader) -> tqdm[DetectionBatch]:
    return tqdm(loader, desc="evaluation", unit="batch", leave=False, disable=not on_terminal())


def _gathered(frames: Sequence[FrameResult]) -> Iterable[list[FrameResult]]:
    """Yield the frames of all processes in portions, in the same order on every process."""
    most = max(gather_objects(len(frames)))
    for start in range(0, most, PORTION):
        yield [
            frame
            for part in gather_objects(list(frames[start : start + PORTION]))
            for frame in part
        ]
