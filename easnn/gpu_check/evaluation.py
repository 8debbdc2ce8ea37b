"""Does inference work as it should on the device?"""

from __future__ import annotations

import importlib.util
import time
from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor

from easnn.data import DetectionBatch, prepare_batch
from easnn.gpu_check.outcome import Number, Outcome, Setting
from easnn.gpu_check.parity import exact_convolutions
from easnn.gpu_check.problem import PUBLISHED, SMALL, make_problem, relative_error
from easnn.gpu_check.speed import seconds_of
from easnn.gpu_check.training import host_batch
from easnn.inference import Predictor
from easnn.inference.forward import GROUP, fixed_form
from easnn.inference.runtimes import build_inference
from easnn.ops import Interpolation, Rectangle, Warp, select_detections
from easnn.representations import FrameSpec

INPUT_HW = (96, 128)
FRAMES = 11
"""More than one group of 8, and not a multiple of it."""


def check_groups(setting: Setting) -> Outcome:
    """Check that detections are the same to the last bit for every batch size of the loader."""
    problem = make_problem(frames=FRAMES)
    height, width = problem.events.shape[-2:]
    predictor = Predictor(
        problem.model.to(setting.device), FrameSpec(), input_hw=(height, width), confidence=1e-6
    )
    frames = host_batch(problem)
    found = {size: _detections(predictor, frames, size) for size in (1, 3, 8, FRAMES)}
    boxes = sum(len(rows) for rows in found[1])
    differ = [
        size
        for size, detections in found.items()
        if not all(torch.equal(a, b) for a, b in zip(detections, found[1], strict=True))
    ]
    return Outcome(
        boxes > 0 and not differ,
        f"{boxes} detections in {FRAMES} frames, "
        + (f"other ones with batches of {differ}" if differ else "the same for every batch size"),
        {"detections": boxes},
    )


def check_input(setting: Setting) -> Outcome:
    """Compare frames and boxes that the device resizes and places with those of the CPU."""
    batch = host_batch(make_problem())
    warp, erased = Warp((64, 48), rotation_deg=20, shear_deg=-10), Rectangle(10, 20, 30, 40)
    warped = tuple(replace(p, warp=warp, erased=erased) for p in batch.placements)
    errors = {}
    for interpolation in get_args(Interpolation):
        for dtype, placements in (
            (torch.uint8, batch.placements),
            (torch.int16, batch.placements),
            (torch.float16, batch.placements),
            (torch.uint8, warped),
        ):
            frames = replace(batch, events=batch.events.to(dtype), placements=placements)
            expected = prepare_batch(frames, INPUT_HW, interpolation)
            found = prepare_batch(frames.to(setting.device), INPUT_HW, interpolation)
            name = f"{interpolation}, {str(dtype).removeprefix('torch.')}"
            name += ", warped" if placements is warped else ""
            errors[f"frames, {name}"] = relative_error([found[0]], [expected[0]])
            errors[f"boxes, {name}"] = relative_error([found[1]], [expected[1]])
    return Outcome.within(errors, 1e-5, f"{len(errors)} comparisons")


def check_suppression(setting: Setting) -> Outcome:
    """Compare the detections that are selected from the same outputs, including their order."""
    problem = make_problem(frames=4)
    with torch.no_grad():
        outputs = problem.model.eval()(problem.events)
    expected = select_detections(outputs, 1e-6, 0.3)
    found = select_detections(outputs.to(setting.device), 1e-6, 0.3)
    boxes, anchors = sum(map(len, expected)), outputs.shape[0] * outputs.shape[1]
    what = f"{boxes} detections from {anchors} anchors"
    if [len(rows) for rows in found] != [len(rows) for rows in expected]:
        return Outcome(False, f"{what}, but {sum(map(len, found))} on the device")
    return Outcome.within({"detections": relative_error(found, expected)}, 1e-6, what)


def check_compiled(setting: Setting) -> Outcome:
    """Compare the outputs of the network with those of its compiled form.

    Without a GPU, the graph is recorded but not compiled, which would need a C++ compiler.
    """
    if setting.on_gpu and importlib.util.find_spec("triton") is None:
        return Outcome.not_here("triton is not installed")
    problem = make_problem(SMALL.replace(width=0.25), frames=8).on(setting.device)
    model = problem.model.eval()
    compiled = torch.compile(model, backend="inductor" if setting.on_gpu else "eager")
    with torch.inference_mode(), exact_convolutions():
        expected = model(problem.events)
        begin = time.perf_counter()
        found: Tensor = compiled(problem.events)
        seconds = time.perf_counter() - begin
    error = relative_error([found], [expected])
    outcome = Outcome.within({"outputs": error}, 0.05, f"compiled in {seconds:.0f} s")
    return replace(outcome, numbers={**outcome.numbers, "seconds": seconds})


def check_compiled_runtime(setting: Setting) -> Outcome:
    """Compare ``--runtime compiled`` with the modules, and measure its speed."""
    if not setting.on_gpu:
        return Outcome.not_here("the tests of the runtimes check it on a CPU")
    if importlib.util.find_spec("triton") is None:
        return Outcome.not_here("triton is not installed")
    numbers: dict[str, Number] = {}
    errors: dict[str, float] = {}
    for precision in setting.precisions:
        config = SMALL if setting.quick else PUBLISHED
        problem = make_problem(config, frames=GROUP, hw=(256, 320)).on(setting.device)
        model, events = problem.model.eval(), problem.events
        begin = time.perf_counter()
        shape = tuple(events.shape[1:])
        inference = build_inference("compiled", model, shape, setting.device, precision)
        numbers[f"seconds to compile, {precision}"] = time.perf_counter() - begin
        with fixed_form(setting.device, precision) as run:
            expected = run(model, events)[0][0]
        with fixed_form(setting.device, inference.precision) as run:
            errors[precision] = relative_error([run(inference.detect, events)[0][0]], [expected])
            seconds = seconds_of(lambda: run(inference.detect, events), setting)  # noqa: B023
        numbers[f"frames/s, {precision}"] = GROUP / seconds
    outcome = Outcome.within(errors, 0.05, "outputs at 256×320")
    return replace(outcome, numbers={**outcome.numbers, **numbers})


def _detections(predictor: Predictor, frames: DetectionBatch, size: int) -> list[Tensor]:
    starts = range(0, len(frames), size)
    batches = [_part(frames, slice(start, start + size)) for start in starts]
    return [detections for _, detections in predictor.detect_batches(batches)]


def _part(frames: DetectionBatch, which: slice) -> DetectionBatch:
    return replace(
        frames,
        events=frames.events[which],
        boxes=frames.boxes[which],
        placements=frames.placements[which],
        indices=frames.indices[which],
        times_us=frames.times_us[which],
        sequences=frames.sequences[which],
    )
