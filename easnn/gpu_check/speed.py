"""How fast is the device, and how much of that does the network use?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch.autograd.profiler_util import FunctionEventAvg
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from easnn.analysis import summarize
from easnn.engine.step import TrainingStep
from easnn.gpu_check.outcome import Number, Outcome, Setting
from easnn.gpu_check.problem import PUBLISHED, SLICES, SMALL, make_problem
from easnn.gpu_check.training import host_batch
from easnn.inference.forward import GROUP, fixed_form
from easnn.models import DetectorConfig
from easnn.models.anchors import STRIDES
from easnn.optim import build_optimizer
from easnn.utils.device import synchronize
from easnn.utils.options import PrecisionName
from easnn.utils.precision import DTYPES, Precision, mixed_precision

BACKWARD_SHARE = 3
"""Operations of a training step per operation of its forward pass."""

BUSY, WAITS = "share of time the GPU computes", "host waits per step"
LONGEST = 8
"""Number of kernels in a profile."""


def check_transfer(setting: Setting) -> Outcome:
    """Measure copies from the host, and check that page-locked ones arrive complete."""
    if not setting.on_gpu:
        return Outcome.not_here("there is nothing to transfer to")
    host = torch.arange(64 * 2**20, dtype=torch.int32)
    pinned = host.pin_memory()
    batch = host_batch(make_problem())
    moved = batch.pin_memory().to(setting.device)
    complete = torch.equal(moved.events.cpu(), batch.events) and torch.equal(
        pinned.to(setting.device, non_blocking=True).cpu(), host
    )
    gigabytes = host.nbytes / 1e9
    speeds: dict[str, Number] = {
        name: gigabytes / seconds_of(partial(source.to, setting.device), setting)
        for name, source in (("pageable GB/s", host), ("page-locked GB/s", pinned))
    }
    return Outcome(complete, ", ".join(f"{n} {v:.1f}" for n, v in speeds.items()), speeds)


def ceilings(setting: Setting) -> dict[str, float]:
    """Return TFLOP/s of a matrix product and a convolution in each precision, and GB/s of a copy.

    GPUs convolve float32 by TF32 unless this is switched off; both are as torch is set.
    """
    device, side, channels = setting.device, 4096, 256
    images, pixels = 32, 64
    if setting.quick:
        side, channels, images, pixels = 256, 16, 2, 16
    found = {}
    for precision in setting.precisions:
        dtype = DTYPES[precision]
        name = str(dtype).removeprefix("torch.")
        a = torch.randn(side, side, device=device, dtype=dtype)
        found[f"matmul {name} TFLOP/s"] = (
            2e-12 * side**3 / seconds_of(partial(torch.matmul, a, a), setting)
        )
        x = torch.randn(images, channels, pixels, pixels, device=device, dtype=dtype)
        x = x.to(memory_format=torch.channels_last)
        weight = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype)
        weight = weight.to(memory_format=torch.channels_last)
        flops = 2 * 9 * channels**2 * images * pixels**2
        seconds = seconds_of(partial(functional.conv2d, x, weight, padding=1), setting)
        found[f"convolution {name} TFLOP/s"] = 1e-12 * flops / seconds
    source = torch.empty((2**20 if setting.quick else 2**28), device=device)
    target = torch.empty_like(source)
    found["copy GB/s"] = 2e-9 * source.nbytes / seconds_of(lambda: target.copy_(source), setting)
    return found


def check_speed(setting: Setting) -> Outcome:
    """Measure frames per second of inference and training, and the share of the ceiling.

    The share is that of the device's convolution in the same precision: multiply-accumulates of
    the network's convolutions count two operations each, as :func:`~easnn.analysis.summarize` does,
    and a training step three times its forward pass.
    """
    config = SMALL if setting.quick else PUBLISHED
    sizes = [(64, 64)] if setting.quick else [(256, 320), (640, 640)]
    limits = ceilings(setting)
    numbers: dict[str, Number] = {**limits}
    for hw in sizes:
        flops = _flops(config, hw)
        for precision in setting.precisions:
            name = str(DTYPES[precision]).removeprefix("torch.")
            limit = 1e12 * limits[f"convolution {name} TFLOP/s"]
            where = f"{hw[0]}×{hw[1]} {name}"
            inference = frames_per_second(config, hw, precision, setting, training=False)
            training = frames_per_second(config, hw, precision, setting, training=True)
            if setting.on_gpu:
                replayed = frames_per_second(
                    config, hw, precision, setting, training=True, cuda_graphs=True
                )
                numbers[f"training with CUDA graphs {where} frames/s"] = replayed
            numbers[f"inference {where} frames/s"] = inference
            numbers[f"inference {where} share of ceiling"] = inference * flops / limit
            numbers[f"training {where} frames/s"] = training
            numbers[f"training {where} share of ceiling"] = (
                BACKWARD_SHARE * training * flops / limit
            )
    return Outcome(True, "measured", numbers)


def frames_per_second(
    config: DetectorConfig,
    hw: tuple[int, int],
    precision: PrecisionName,
    setting: Setting,
    *,
    training: bool,
    cuda_graphs: bool = False,
) -> float:
    """Return the frames per second of inference in groups of 8, or of training in batches of 8.

    Args:
        config: the network.
        hw: height and width of its input.
        precision: what the network computes in.
        setting: the device.
        training: whether to train.
        cuda_graphs: whether to replay training steps as CUDA graphs.
    """
    frames = 2 if setting.quick else GROUP
    problem = make_problem(config, frames=frames, hw=hw, lively=setting.quick).on(setting.device)
    if training:
        model = problem.model.train()
        optimizer = build_optimizer(model, name="ADAM", lr=1e-5)
        step = TrainingStep(
            model, optimizer, Precision(setting.device, precision), cuda_graphs=cuda_graphs
        )
        return frames / seconds_of(lambda: step(problem.events, problem.targets), setting)
    problem.model.eval()
    with fixed_form(setting.device, precision) as run:
        return frames / seconds_of(lambda: run(problem.model, problem.events), setting)


def check_profile(setting: Setting) -> Outcome:
    """Profile training steps: how long the GPU computes, and how often the host waits."""
    if not setting.on_gpu:
        return Outcome.not_here("there is no GPU to profile")
    problem = make_problem(PUBLISHED, frames=GROUP, hw=(256, 320), lively=False).on(setting.device)
    optimizer = build_optimizer(problem.model, name="ADAM", lr=1e-5)
    precision = Precision(setting.device, mixed_precision(setting.device))
    step = TrainingStep(problem.model.train(), optimizer, precision)
    for _ in range(3):
        step(problem.events, problem.targets)
    steps = 3
    synchronize(setting.device)
    begin = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        for _ in range(steps):
            step(problem.events, problem.targets)
        seconds = time.perf_counter() - begin
    numbers = profile_numbers(recorded.key_averages(), seconds, steps)
    return Outcome(
        True,
        f"the GPU computes {numbers[BUSY]:.0%} of the time of a step, "
        f"{numbers[WAITS]:.1f} waits of the host",
        numbers,
    )


def profile_numbers(
    events: Iterable[FunctionEventAvg], seconds: float, steps: int
) -> dict[str, float]:
    """Return what a profile tells about a step: waits of the host, and the longest kernels.

    Args:
        events: averages of the profiled functions and kernels.
        seconds: duration of all steps.
        steps: number of steps.
    """
    events = list(events)
    kernels = {
        str(event.key): event.self_device_time_total / 1e3 / steps
        for event in events
        if str(event.device_type) == "DeviceType.CUDA" and not event.is_user_annotation
    }
    waits = sum(event.count for event in events if event.key == "cudaStreamSynchronize")
    longest = sorted(kernels, key=lambda key: -kernels[key])[:LONGEST]
    return {
        BUSY: sum(kernels.values()) / (1e3 * seconds / steps),
        WAITS: waits / steps,
        **{f"ms per step: {key[:60]}": kernels[key] for key in longest},
    }


def seconds_of(call: Callable[[], object], setting: Setting) -> float:
    """Return the median duration of a call, after a warm-up, until about a second has passed."""
    repetitions, budget_s = (2, 0.0) if setting.quick else (10, 1.0)
    for _ in range(1 if setting.quick else 3):
        call()
    synchronize(setting.device)
    durations: list[float] = []
    while len(durations) < repetitions or sum(durations) < budget_s:
        begin = time.perf_counter()
        call()
        synchronize(setting.device)
        durations.append(time.perf_counter() - begin)
    return statistics.median(durations)


def _flops(config: DetectorConfig, hw: tuple[int, int]) -> float:
    """Return the operations of a frame, counted on the smallest frame and scaled by area."""
    cell = STRIDES[-1]
    model = make_problem(config, frames=1, hw=(cell, cell), lively=False).model
    shape = (1, 1, SLICES, config.in_channels, cell, cell)
    return summarize(model, shape).flops * hw[0] * hw[1] / cell**2
