"""Dead and saturated layers are named in training, once, and looking for them changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from engine_toys import ToyDetector, build_trainer
from loguru import logger
from torch import Tensor, nn
from trainer_runs import PLAN

from easnn.analysis import measure_energy
from easnn.engine import RunDirectory, firing
from easnn.engine.firing import FiringWatch
from easnn.engine.state import Position
from easnn.engine.step import TrainingStep
from easnn.kernels import Kernels, use_kernels
from easnn.kernels.choice import native_library
from easnn.models import (
    DetectorConfig,
    EventDetector,
    IntegerLIF,
    ParametricLIF,
    SpikeMode,
    build_detector,
)
from easnn.optim import build_optimizer
from easnn.utils.precision import Precision

CPU = torch.device("cpu")
KERNELS = [
    Kernels.PLAIN,
    pytest.param(
        Kernels.NATIVE,
        marks=pytest.mark.skipif(native_library() is None, reason="no native kernels here"),
    ),
]
CONFIG = DetectorConfig(
    num_classes=2,
    depth=0.33,
    width=0.125,
    use_spike=SpikeMode.FULL,
    T=2,
    embedding="arsnn",
    embedding_depth=2,
    embedding_ksize=3,
    norm="bn",
)


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message).rstrip("\n")), format="{message}")
    yield lines
    logger.remove(sink)


def detector(kernels: Kernels = Kernels.PLAIN, **keys: object) -> EventDetector:
    torch.manual_seed(0)
    model = build_detector(CONFIG.replace(**keys))
    use_kernels(model, kernels)
    return model


def frames(samples: int = 2, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.poisson(torch.ones(samples, 1, 3, 2, 32, 64), generator=random)


def trained(model: EventDetector, *, watched: bool, **options: object) -> dict[str, Tensor]:
    """Return weights, statistics and gradients after three steps."""
    optimizer = build_optimizer(model, name="ADAM", lr=0.01)
    step = TrainingStep(model, optimizer, Precision(CPU, **options))
    watch = FiringWatch(model)
    targets = torch.tensor([[[1, 20.0, 16, 12, 10]], [[0, 40.0, 12, 20, 8]]])
    model.train()
    for number in range(3):
        with watch.counting() if watched else nullcontext():
            step(frames(seed=number), targets)
    gradients = {f"gradient {n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {**model.state_dict(), **gradients}


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(
    ("keys", "precision"),
    [({}, "exact"), ({"activation_checkpointing": True}, "exact"), ({}, "bf16")],
)
def test_weights_are_the_same_with_and_without(
    kernels: Kernels, keys: dict[str, object], precision: str
) -> None:
    without, watched = (
        trained(detector(kernels, **keys), watched=watched, name=precision)
        for watched in (False, True)
    )
    assert without.keys() == watched.keys()
    for name, value in without.items():
        assert torch.equal(value, watched[name]), name


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("embedding", ["arsnn", "rsnn", "snn", "count"])
def test_rates_are_those_of_the_energy_report(kernels: Kernels, embedding: str) -> None:
    model = detector(kernels, embedding=embedding).eval()
    watch = FiringWatch(model)
    with watch.counting(), torch.no_grad():
        for frame in frames(3).split(1):
            model(frame)
    found = watch.rates(3)
    report = measure_energy(detector(embedding=embedding).eval(), frames(3).split(1))
    counted = {neurons.name: neurons.rate for neurons in report.neurons}
    assert {**found.sampler, **found.layers} == pytest.approx(counted)
    assert list(found.sampler) == ([] if embedding == "count" else ["embedding.recurrence"])
    layers = found.layers.values()
    assert found.numbers() == {
        "smallest_rate": min(layers),
        "largest_rate": max(layers),
        **({"sampler_rate": found.sampler["embedding.recurrence"]} if found.sampler else {}),
    }


@pytest.mark.parametrize("kernels", KERNELS)
def test_rates_of_integer_neurons_are_shares_of_their_levels(kernels: Kernels) -> None:
    model = detector(kernels, neuron="ilif", spike_levels=3).eval()
    watch = FiringWatch(model)
    with watch.counting(), torch.no_grad():
        model(frames(3))
    found = watch.rates(3).layers
    report = measure_energy(detector(neuron="ilif", spike_levels=3).eval(), frames(3).split(1))
    counted = {neurons.name: neurons.rate / neurons.levels for neurons in report.neurons}
    assert found == pytest.approx({name: counted[name] for name in found})


def test_integer_neurons_are_saturated_at_their_levels() -> None:
    layer = nn.ModuleDict({"layer": IntegerLIF(2, 4)})
    watch, rates = FiringWatch(layer), []
    for current in (0.0, 1.0, 4.0):
        with watch.counting():
            layer["layer"](torch.full((2, 300, 1000), current))
        rates.append(watch.rates(1).layers["layer"])
    assert rates == [0, 1 / 4, 1]


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("embedding", ["arsnn", "rsnn", "snn"])
def test_spikes_are_those_of_the_trace(kernels: Kernels, embedding: str) -> None:
    model = detector(kernels, embedding=embedding)
    spikes, trace = model.embedding.spikes(frames()), model.embedding.trace(frames())
    assert spikes is not None
    assert trace is not None
    assert torch.equal(spikes, trace.spikes)
    assert 0 < spikes.float().mean() < 1


class Spiking(ToyDetector):
    """The toy with two layers of neurons, whose currents are given for each step."""

    def __init__(self, currents: dict[int, list[float]]) -> None:
        super().__init__()
        self.first = ParametricLIF(2, "atan", 2.0)
        self.second = ParametricLIF(2, "atan", 2.0)
        self._currents = currents
        self._steps = 0

    def forward(self, events: Tensor, targets: Tensor | None = None) -> Tensor | dict[str, Tensor]:
        if targets is not None:
            self._steps += 1
            layers: list[nn.Module] = [self.first, self.second]
            for layer, current in zip(layers, self._currents[self._steps], strict=True):
                layer(torch.full((2, 1), current))
        return super().forward(events, targets)


HALF = 0.75  # in the second step V = 0.375 + 0.75 is above the threshold


def test_a_change_is_told_once(tmp_path: Path, said: list[str]) -> None:
    first_steps = {1: [0.0, HALF], 6: [0.0, 3.0], 11: [0.0, 3.0], 16: [HALF, 3.0], 21: [0.0, HALF]}
    currents = {step: first_steps.get(step, [0.0, 0.0]) for step in range(1, 26)}
    build_trainer(tmp_path, PLAN.replace(max_epoch=5), model=Spiking(currents)).train()
    dead = (
        "no neuron of these fired for any of the 4 samples (rate 0): first. What comes after them "
        "sees only zeros. If it stays so, lower `basic_lr_per_img` or start from other weights."
    )
    assert [line for line in said if "dead" in line.lower() or "aturated" in line] == [
        f"Dead layers: in epoch 1, step 1, {dead}",
        "Saturated layers: in epoch 2, step 1, all neurons of these fired as often as they can, in "
        "all time steps for all of the 4 samples (rate 1): second. They tell nothing of the input. "
        "If it stays so, lower `basic_lr_per_img` or start from other weights.",
        "Neither dead nor saturated any more, in epoch 4, step 1: first (rate 0.5)",
        f"Dead layers: in epoch 5, step 1, {dead}",
        "Neither dead nor saturated any more, in epoch 5, step 1: second (rate 0.5)",
    ]
    lines = map(json.loads, RunDirectory(tmp_path).metrics.read_text().splitlines())
    assert [line for line in lines if line["kind"] == "firing"] == [
        {
            "kind": "firing",
            "iteration": 5 * epoch + 1,
            "epoch": epoch + 1,
            "smallest_rate": smallest,
            "largest_rate": largest,
        }
        for epoch, (smallest, largest) in enumerate(
            [(0.0, 0.5), (0.0, 1.0), (0.0, 1.0), (0.5, 1.0), (0.0, 0.5)]
        )
    ]


def test_a_network_without_neurons_has_no_rates(tmp_path: Path) -> None:
    build_trainer(tmp_path, PLAN.replace(max_epoch=1)).train()
    lines = map(json.loads, RunDirectory(tmp_path).metrics.read_text().splitlines())
    assert {line["kind"] for line in lines} == {"train", "eval"}


@pytest.mark.parametrize("kernels", KERNELS)
def test_the_sampler(kernels: Kernels, said: list[str]) -> None:
    told = []
    model = detector(kernels)
    watch = FiringWatch(model)
    for thresh in (1e6, 1e6, -1e6, 1.0):
        recurrence = model.embedding.recurrence
        recurrence.firing = replace(recurrence.firing, thresh=thresh)
        with watch.counting(), torch.no_grad():
            model.embedding(frames())
        rates = watch.rates(2)
        watch.warn(rates, Position(len(told), 0))
        told.append(rates.sampler["embedding.recurrence"])
    assert told[:3] == [0, 0, 1]
    assert said[-3:] == [
        "The sampler never samples: in epoch 1, step 1, its membrane (embedding.recurrence) fired "
        "at no pixel for any of the 2 samples (rate 0). Lower `thresh`, give spikes a gradient "
        "(`spike_attach True`), or train without `write_zero` first.",
        "The sampler chooses nothing: in epoch 3, step 1, its membrane (embedding.recurrence) "
        "fired at all pixels in all steps for all of the 2 samples (rate 1). Raise `thresh`, or "
        "lower `emb_lr`.",
        f"The sampler samples, in epoch 4, step 1 (rate {told[3]:.3g})",
    ]


def test_a_layer_that_fires_in_another_process_is_not_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = nn.ModuleDict({"layer": ParametricLIF(1, "atan", 2.0)})
    watch = FiringWatch(model)
    with watch.counting():
        model["layer"](torch.zeros(4, 5))
    monkeypatch.setattr(firing, "gather_objects", lambda mine: [mine, ({"layer": [5, 60]}, 3)])
    rates = watch.rates(1)
    assert rates.layers == {"layer": 5 / 80}
    assert rates.samples == 4
