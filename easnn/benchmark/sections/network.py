"""Sampler, inference, training step, and the memory of a training step."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from easnn.benchmark.implementations import (
    IMPLEMENTATIONS,
    OWN,
    PLAIN,
    PUBLISHED,
    VALUE_BYTES,
    cpu_precision,
    in_every_precision,
    inference,
    network_of,
    with_plain_kernels,
)
from easnn.benchmark.inputs import network_events, network_targets
from easnn.benchmark.peak_memory import StepRequest, peak_bytes
from easnn.benchmark.reference import PublishedSampler
from easnn.benchmark.runtimes import in_every_runtime, runtime_inference
from easnn.benchmark.sections.section import Case, Cases, Section, networks
from easnn.benchmark.settings import Settings, Size, size_text
from easnn.benchmark.timing import Variant
from easnn.benchmark.work import TRAINING, detector_work, sampler_work
from easnn.exp import EventExp
from easnn.models.embedding import AdaptiveSampling
from easnn.utils.errors import ConfigError


def sampler_cases(settings: Settings) -> Cases:
    """Yield forward, and forward with backward, of the adaptive sampler alone.

    Raises:
        ConfigError: if the embedding is another one.
    """
    for hw in settings.sizes:
        experiment = settings.experiment(settings.models[0], hw, settings.spikes[0])
        events = network_events(experiment, settings.batch)
        model = network_of(experiment, events)
        ours = model.embedding
        if not isinstance(ours, AdaptiveSampling):
            raise ConfigError(
                "The section `sampler` compares adaptive samplers, so `embedding` must be arsnn, "
                f"but is {experiment.embedding}."
            )
        work = sampler_work(model, events)
        samplers = {
            PUBLISHED: PublishedSampler(ours),
            PLAIN: with_plain_kernels(ours),
            OWN: ours,
        }
        for name, runs, factor in (("forward", _forward, 1.0), ("backward too", _both, TRAINING)):
            yield Case(
                {"size": size_text(hw), "pass": name},
                [
                    Variant(row, partial(runs, sampler, events), settings.batch)
                    for row, sampler in samplers.items()
                ],
                work.times(factor),
            )


def forward_cases(settings: Settings) -> Cases:
    """Yield inference by whole networks."""
    for model, hw, spike in networks(settings):
        experiment = settings.experiment(model, hw, spike)
        yield forward_case(experiment, _labels(model, hw, spike), settings)


def forward_case(
    experiment: EventExp,
    labels: dict[str, str],
    settings: Settings,
    *,
    with_work: bool = True,
) -> Case:
    """Return the inference of one network by every implementation and runtime."""
    events = network_events(experiment, settings.batch)
    network = network_of(experiment, events)
    models = {each.name: each.build(network) for each in IMPLEMENTATIONS}
    runs = {
        (each.name, precision): inference(models[each.name], events, precision)
        for each, precision in in_every_precision(IMPLEMENTATIONS, settings.precisions)
    }
    others, notes = in_every_runtime(settings, partial(runtime_inference, network, events))
    variants = [
        Variant(f"{name}, {precision}", run, settings.batch, VALUE_BYTES[precision], precision)
        for (name, precision), run in [*runs.items(), *others.items()]
    ]
    return Case(labels, variants, detector_work(network, events) if with_work else None, notes)


def step_cases(settings: Settings) -> Cases:
    """Yield training steps with optimizer and moving average."""
    for model, hw, spike in networks(settings):
        experiment = settings.experiment(model, hw, spike)
        events = network_events(experiment, settings.batch)
        targets = network_targets(experiment, settings.batch)
        network = network_of(experiment, events)
        work = detector_work(network, events).times(TRAINING)
        variants = [
            Variant(
                f"{each.name}, {precision}",
                partial(
                    each.train(network, experiment, settings.batch, cpu_precision(precision)),
                    events,
                    targets,
                ),
                settings.batch,
                VALUE_BYTES[precision],
                precision,
            )
            for each, precision in in_every_precision(IMPLEMENTATIONS, settings.precisions)
            if each.train is not None
        ]
        yield Case(_labels(model, hw, spike), variants, work)


def memory_cases(settings: Settings) -> Cases:
    """Yield the peak memory of training steps, each in a process of its own."""
    for model, hw, spike in networks(settings):
        yield Case(
            _labels(model, hw, spike),
            [
                Variant(
                    f"{each.name}, {precision}",
                    partial(
                        peak_bytes,
                        StepRequest(
                            model,
                            hw,
                            spike,
                            settings.words,
                            settings.batch,
                            settings.threads,
                            each.name,
                            precision,
                        ),
                    ),
                )
                for each, precision in in_every_precision(IMPLEMENTATIONS, settings.precisions)
                if each.train is not None
            ],
        )


def _labels(model: str, hw: Size, spike: str) -> dict[str, str]:
    return {"model": model, "size": size_text(hw), "use_spike": spike}


def _forward(sampler: nn.Module, events: Tensor) -> Tensor:
    with torch.inference_mode():
        return sampler(events)


def _both(sampler: nn.Module, events: Tensor) -> None:
    sampler.zero_grad()
    sampler(events).sum().backward()


SAMPLER = Section("sampler", sampler_cases, has_work=True)
FORWARD = Section("forward", forward_cases, has_work=True)
STEP = Section("step", step_cases, has_work=True)
MEMORY = Section("memory", memory_cases, "memory")
