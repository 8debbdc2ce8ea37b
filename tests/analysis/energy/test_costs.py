from __future__ import annotations

import json

import pytest
import torch
from lively import TINY, event_counts, lively_detector
from torch import Tensor, nn

from easnn.analysis import EnergyReport, energy_tables, measure_energy
from easnn.analysis.energy import accumulates, unpacked
from easnn.models import (
    EventDetector,
    IntegerLIF,
    ParametricLIF,
    SpikeMode,
    SpikingNeurons,
)
from easnn.utils.errors import ConfigError

EVENTS = event_counts()


@pytest.fixture(scope="module")
def model() -> EventDetector:
    """A detector that spikes as far as it can."""
    return lively_detector(TINY, EVENTS)


@pytest.fixture(scope="module")
def report(model: EventDetector) -> EnergyReport:
    return measure_energy(model, [EVENTS])


class Chain(nn.Module):
    """A synapse of weight 1 per pixel, a neuron with two time steps, and a 3×3 kernel."""

    def __init__(self, neurons: SpikingNeurons | None = None) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, 1, 1, bias=False)
        self.neurons = neurons or ParametricLIF(2, "atan", 2.0, steps_in=1)
        self.leave = nn.Conv2d(1, 10, 3, padding=1)
        nn.init.ones_(self.enter.weight)

    def forward(self, events: Tensor) -> Tensor:
        out: Tensor = self.leave(self.neurons(self.enter(events.flatten(0, 2))))
        return out


def frame(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float)[None, None, None, None]


FRAMES = [
    frame(
        [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0.75, 0], [0, 0, 0, 0]]
    ),  # 0.75 + 0.75/2 ≥ 1: in step 2
    frame([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]),
]


def test_operations_of_two_frames_by_hand() -> None:
    enter, leave = measure_energy(Chain(), FRAMES).layers
    assert (enter.name, enter.shape, enter.spikes, enter.runs) == ("enter", "1→1 1×1", False, 1)
    assert (enter.macs, enter.accumulates, enter.input_rate) == (16, 0, None)
    assert (leave.name, leave.shape, leave.spikes, leave.runs) == ("leave", "1→10 3×3", True, 2)
    # The first frame fires twice in a corner and once inside, the second twice in each of two
    # corners.
    assert leave.accumulates == 10 * ((2 * 4 + 9) + (2 * 4 + 2 * 4)) / 2
    assert (leave.macs, leave.synapses, leave.padded) == (0, 2 * 10 * 10**2, 2 * 10 * 12**2)
    assert (leave.input_rate, leave.input_nonzero, leave.input_most) == (7 / 64, 7 / 64, 1)
    assert leave.energy_pj == pytest.approx(0.9 * leave.accumulates)
    assert enter.energy_pj == pytest.approx(4.6 * 16)


def test_firing_of_two_frames_by_hand() -> None:
    (neurons,) = measure_energy(Chain(), FRAMES).neurons
    assert (neurons.name, neurons.neurons, neurons.channels) == ("neurons", 16, 1)
    assert neurons.rates == (3 / 32, 4 / 32)
    assert (neurons.rate, neurons.updates) == (7 / 64, 32)
    assert (neurons.dead, neurons.saturated, neurons.dead_channels) == (16 - 3, 1, 0)


def test_integer_neurons_of_two_frames_by_hand() -> None:
    # D is 3. A corner gets 3.6 in both steps: 3, the rest of 0.15 makes 3.75, and 3 again. Another
    # gets 1.4: 1, then 1.5, and 2. In the second frame, the first is as before, the other 0.
    rows: list[list[float]] = [[3.6, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1.4]]
    frames = [frame(rows), frame([*rows[:3], [0, 0, 0, 0]])]
    report = measure_energy(Chain(IntegerLIF(2, 3, steps_in=1)), frames)
    enter, leave = report.layers
    assert (enter.spikes, leave.spikes) == (False, True)
    # k spikes are k accumulates at each of the four synapses of a corner, in each of 10 channels.
    assert leave.accumulates == 10 * 4 * ((3 + 3) + (1 + 2) + (3 + 3)) / 2
    assert leave.accumulates_nonzero == 10 * 4 * 6 / 2
    assert (leave.input_rate, leave.input_nonzero, leave.input_most) == (15 / 64, 6 / 64, 3)
    (neurons,) = report.neurons
    assert (neurons.levels, neurons.rates) == (3, (7 / 32, 8 / 32))
    assert (neurons.dead, neurons.saturated, neurons.dead_channels) == (16 - 2, 1, 0)
    assert "spikes, sums to 3" in energy_tables(report)


def test_accumulates_of_integer_neurons_are_the_spikes_of_their_slots() -> None:
    model = lively_detector(TINY.replace(neuron="ilif"), EVENTS)
    layers = [layer for layer in measure_energy(model, [EVENTS]).layers if layer.spikes]
    filled: dict[str, int] = {}

    def fill(name: str, conv: nn.Conv2d, numbers: Tensor) -> None:
        slots = [(numbers > d).float() for d in range(int(numbers.max()))]
        filled[name] = filled.get(name, 0) + sum(accumulates(conv, slot) for slot in slots)

    for layer in layers:
        model.get_submodule(layer.name).register_forward_pre_hook(
            lambda conv, args, name=layer.name: fill(name, conv, unpacked(conv, args[0]))
        )
    with torch.no_grad():
        model(EVENTS)
    assert max(layer.input_most for layer in layers) > 4  # residuals
    assert {layer.name: layer.accumulates for layer in layers} == filled


def test_dead_channels() -> None:
    (neurons,) = measure_energy(Chain(), [torch.zeros(1, 1, 1, 1, 4, 4)]).neurons
    assert (neurons.dead, neurons.saturated, neurons.dead_channels) == (16, 0, 1)


def test_totals_are_sums_of_the_layers(model: EventDetector, report: EnergyReport) -> None:
    assert report.total.accumulates == sum(layer.accumulates for layer in report.layers)
    assert report.total.energy_pj == pytest.approx(sum(part.energy_pj for part in report.parts))
    assert [part.name for part in report.parts] == ["embedding", "backbone", "neck", "head"]
    assert len(report.layers) == sum(isinstance(layer, nn.Conv2d) for layer in model.modules())
    assert len({layer.name for layer in report.layers}) == len(report.layers)


@pytest.mark.parametrize("Ts", [1, 3])
@pytest.mark.parametrize("mode", list(SpikeMode)[1:])
def test_the_comparison_is_the_network_that_does_not_spike(mode: SpikeMode, Ts: int) -> None:
    config = TINY.replace(use_spike=mode, Ts=Ts)
    model = lively_detector(config, EVENTS)
    plain = lively_detector(TINY.replace(use_spike=SpikeMode.NONE), EVENTS)
    plain.embedding.load_state_dict(model.embedding.state_dict())
    found, expected = measure_energy(model, [EVENTS]).plain, measure_energy(plain, [EVENTS]).total
    assert (found.accumulates, found.macs) == (expected.accumulates, expected.macs)


def test_a_network_that_does_not_spike_is_its_own_comparison() -> None:
    report = measure_energy(
        lively_detector(TINY.replace(use_spike=SpikeMode.NONE), EVENTS), [EVENTS]
    )
    assert report.plain.energy_pj == report.total.energy_pj
    assert [layer.name for layer in report.neurons] == ["embedding.recurrence"]


def test_sums_of_spikes_under_other_conventions(report: EnergyReport) -> None:
    once, as_macs = report.variants
    sums = [layer for layer in report.layers if layer.input_most > 1 and layer.spikes]
    assert {layer.name for layer in sums} == {  # what follows a residual addition
        *(f"backbone.dark{n}.1.merge.conv" for n in (2, 3, 4)),
        *(f"backbone.dark{n}.1.blocks.{block}.conv1.conv" for n in (3, 4) for block in (1, 2)),
    }
    assert max(layer.input_most for layer in sums) == 4
    extra = sum(layer.accumulates - layer.accumulates_nonzero for layer in sums)
    assert once.accumulates == pytest.approx(report.total.accumulates - extra)
    assert once.macs == report.total.macs
    assert as_macs.macs == sum(layer.padded for layer in report.layers if not layer.spikes) + sum(
        layer.padded for layer in sums
    )


def test_the_sampler_is_recorded_step_by_step(model: EventDetector, report: EnergyReport) -> None:
    with torch.no_grad():
        steps = model.embedding.recurrence(EVENTS.flatten(1, 2).transpose(0, 1))
    assert report.neurons[0].rates == pytest.approx([step.spikes.mean().item() for step in steps])
    gate = next(
        layer for layer in report.layers if layer.name == "embedding.recurrence.gate_conv.0"
    )
    assert (gate.spikes, gate.runs) == (True, 3)
    # In a step it sees the spikes of the one before, in the first none.
    fired = sum(step.spikes.sum().item() for step in steps[:-1])
    assert gate.input_rate == pytest.approx(fired / EVENTS.numel())


@pytest.mark.parametrize("embedding", ["arsnn", "snn"])
def test_neurons_in_the_branches_of_a_sampler_are_recorded(embedding: str) -> None:
    """A convolution behind them accumulates one weight per spike and synapse."""
    config = TINY.replace(embedding=embedding, embedding_act="lif", thresh=0.3)
    model = lively_detector(config, EVENTS)
    report = measure_energy(model, [EVENTS, EVENTS])
    branches = ("input_conv", "gate_conv") if embedding == "arsnn" else ("conv",)
    for branch in branches:
        name = f"embedding.recurrence.{branch}"
        (neurons,) = [layer for layer in report.neurons if layer.name == f"{name}.1"]
        (conv,) = [layer for layer in report.layers if layer.name == f"{name}.2"]
        assert (len(neurons.rates), neurons.neurons) == (3, neurons.channels * 32 * 64)
        assert neurons.channels == (4 if embedding == "arsnn" else 2)
        assert (conv.spikes, conv.macs, conv.input_most) == (True, 0, 1)
        assert conv.input_rate == pytest.approx(neurons.rate) != 0
    assert report.neurons[0].name == "embedding.recurrence"


def test_nothing_stays_behind(model: EventDetector) -> None:
    state, outputs = {k: v.clone() for k, v in model.state_dict().items()}, model(EVENTS)
    measure_energy(model, [EVENTS])
    with pytest.raises(ValueError, match="events"):
        measure_energy(model, [EVENTS, EVENTS[..., :-1]])
    assert all(not (m._forward_hooks or m._forward_pre_hooks) for m in model.modules())
    torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)
    torch.testing.assert_close(model(EVENTS), outputs, rtol=0, atol=0)


def test_no_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="frames") as error:
        measure_energy(Chain(), [])
    assert str(error.value) == "`frames` must hold at least one frame, but is empty."


def test_layers_that_cannot_be_counted_are_refused() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 3, padding="same"), nn.Linear(4, 2))
    with pytest.raises(ConfigError) as error:
        measure_energy(model, [torch.zeros(1, 1, 4, 4)])
    assert str(error.value) == (
        "Operations can only be counted for `Conv2d` layers with zero padding given in pixels, but "
        "the network also has 1 (Conv2d), 2 (Linear)."
    )


def test_the_report_is_plain_and_printable(report: EnergyReport) -> None:
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["total"]["energy_pj"] == report.total.energy_pj
    assert sum(layer["share"] for layer in plain["layers"]) == pytest.approx(1)
    lines = [line.split() for line in energy_tables(report).splitlines()]
    assert ["head", f"{report.parts[3].accumulates / 1e6:.3f}"] in [line[:2] for line in lines]
    assert any(line[:1] == ["head.levels.2.class_out"] and "spikes" in line for line in lines)


def test_the_memory_of_a_detector() -> None:
    changes = {"use_spike": SpikeMode.BACKBONE, "memory_dim": 4}
    reports = {
        kind: measure_energy(
            lively_detector(TINY.replace(memory=kind, **changes), EVENTS), [EVENTS] * 3
        )
        for kind in ("none", "lstm", "spiking")
    }
    positions, channels = [4 * 8, 2 * 4, 1 * 2], [32, 64, 128]
    down = sum(p * c * 4 for p, c in zip(positions, channels, strict=True))
    gates = sum(p * 2 * 4 * 16 for p in positions)
    parts = {kind: {cost.name: cost for cost in r.parts} for kind, r in reports.items()}
    assert "memory" not in parts["none"]
    lstm, spiking = parts["lstm"]["memory"], parts["spiking"]["memory"]
    assert (lstm.accumulates, lstm.macs) == (0, 2 * down + gates)
    assert spiking.macs == down
    neurons = [n for n in reports["spiking"].neurons if n.name.startswith("memory")]
    assert [n.updates for n in neurons] == [4 * p for p in positions]
    # Each spike of a membrane reaches all channels of its features.
    spikes = sum(n.rate * n.neurons * c for n, c in zip(neurons, channels, strict=True))
    assert spiking.accumulates == pytest.approx(spikes)
    assert spiking.accumulates > 0
    assert energy_tables(reports["spiking"]).count("memory.levels.0.cell.neurons") == 1
