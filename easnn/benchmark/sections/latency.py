"""From the events of a recording to boxes in sensor pixels."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from easnn.benchmark.implementations import network_of
from easnn.benchmark.inputs import network_events, write_recordings
from easnn.benchmark.reference import PublishedDetector, place_frame, published_detections
from easnn.benchmark.runtimes import in_every_runtime
from easnn.benchmark.sections.section import Case, Cases, Section, networks
from easnn.benchmark.settings import Settings, size_text
from easnn.benchmark.timing import Variant
from easnn.events import Recording, open_dat
from easnn.exp import EventExp
from easnn.inference import Predictor
from easnn.inference.forward import GROUP
from easnn.models import EventDetector
from easnn.ops import letterbox_placement, unplace_detections
from easnn.representations import make_frame
from easnn.utils.files import temporary_folder
from easnn.utils.options import PrecisionName, RuntimeName

WINDOWS = GROUP
"""Windows of the measurement of the throughput: as many as the predictor computes together."""

QUICK_WINDOWS = 4

EVERY_MS = 25
RECORDED_S = 1.0
CONFIDENCE = 0.3


def latency_cases(settings: Settings) -> Cases:
    """Yield one window (latency), and the windows of a recording in turn (throughput)."""
    with temporary_folder("easnn-benchmark-") as folder:
        path = write_recordings(folder, recordings=1, seconds=RECORDED_S)
        recording = open_dat(path)
        for model, hw, spike in networks(settings):
            experiment = settings.experiment(model, hw, spike)
            network = network_of(experiment, network_events(experiment, 1))
            published = PublishedDetector(network).eval()
            make = partial(_predictor, experiment, network)
            own = {precision: make("torch", precision) for precision in settings.precisions}
            others, notes = in_every_runtime(settings, make)
            predictors = {
                **{f"easnn, {precision}": each for precision, each in own.items()},
                **{f"{name}, {precision}": each for (name, precision), each in others.items()},
            }
            labels = {"model": model, "size": size_text(hw), "use_spike": spike}
            many = QUICK_WINDOWS if settings.quick else WINDOWS
            for count, ours in ((1, _detect), (many, _watch)):
                reference = _published(published, own[settings.precisions[0]])
                rows = {
                    "published, exact": partial(_one_by_one, reference, recording, count),
                    **{
                        name: partial(ours, predictor, recording, count)
                        for name, predictor in predictors.items()
                    },
                }
                yield Case(
                    {**labels, "windows": str(count)},
                    [Variant(name, run, count) for name, run in rows.items()],
                    notes=notes,
                )


def _predictor(
    experiment: EventExp, network: EventDetector, runtime: RuntimeName, precision: PrecisionName
) -> Predictor:
    return Predictor.of(
        experiment,
        network,
        confidence=CONFIDENCE,
        class_names=(),
        precision=precision,
        runtime=runtime,
    )


def window_ends_us(recording: Recording, count: int) -> range:
    """Return the ends of ``count`` windows, the last one at the end of the recording."""
    step_us = 1000 * EVERY_MS
    last_us = recording.last_us + 1
    return range(last_us - (count - 1) * step_us, last_us + 1, step_us)


def published_boxes(
    model: nn.Module, settings: Predictor, recording: Recording, time_us: int
) -> Tensor:
    """Return what :meth:`~easnn.Predictor.detect` finds, by the published formulations.

    Args:
        model: the published formulation of the network.
        settings: predictor whose frames, input size and thresholds are used.
        recording: the events.
        time_us: end of the window.

    Returns:
        ``[M, 6]``: class, score, left, top, width, height in sensor pixels.
    """
    sensor_hw = recording.sensor_hw
    assert sensor_hw is not None
    placement = letterbox_placement(sensor_hw, settings.input_hw)
    frame = make_frame(settings.spec, recording, time_us, sensor_hw).numpy().astype(np.float64)
    events = place_frame(frame, placement, settings.input_hw, settings.interpolation)
    with torch.inference_mode():
        outputs = model(torch.from_numpy(events)[None].float())
        [found] = published_detections(outputs, settings.confidence, settings.nms_iou)
        return unplace_detections(found, placement, sensor_hw)


def _published(model: nn.Module, settings: Predictor) -> Callable[[Recording, int], Tensor]:
    return partial(published_boxes, model, settings)


def _one_by_one(find: Callable[[Recording, int], object], recording: Recording, count: int) -> None:
    for time_us in window_ends_us(recording, count):
        find(recording, time_us)


def _detect(predictor: Predictor, recording: Recording, count: int) -> None:
    _one_by_one(predictor.detect, recording, count)


def _watch(predictor: Predictor, recording: Recording, count: int) -> None:
    ends_us = window_ends_us(recording, count)
    windows = predictor.watch(
        recording,
        every_ms=EVERY_MS,
        start_us=ends_us[0] - ends_us.step,
        end_us=ends_us[-1],
    )
    deque(windows, maxlen=0)


LATENCY = Section("latency", latency_cases)
