"""Shortcuts that add what goes into neurons: every convolution sees spikes of 0 and 1."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from literal import KERNELS
from literal_layers import check_against_scalars, fired, unit
from lively import TINY, event_counts, lively_detector

from easnn.analysis import measure_energy
from easnn.kernels import use_kernels
from easnn.models import ParametricLIF, SpikeMode, build_detector
from easnn.models.blocks import Bottleneck, CSPLayer, UnitSpec

SPEC = UnitSpec(partial(ParametricLIF, 2, "atan", 2.0), spikes_in=True, membrane=True)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("separable", [False, True])
def test_a_bottleneck_is_a_loop_over_pixels(separable: bool, kernels) -> None:
    spec = UnitSpec(SPEC.activation, spikes_in=True, separable=separable, membrane=True)
    block = Bottleneck(3, spec, shortcut=True).double()
    use_kernels(block, kernels)

    def literal(images: np.ndarray) -> np.ndarray:
        spikes = unit(fired(images, block.enter), block.conv1)
        if separable:
            spikes = unit(spikes, block.conv2.depthwise)
        return images + unit(spikes, block.conv2.pointwise if separable else block.conv2)

    x = torch.randn(2 * 1, 3, 3, 2, dtype=torch.float64) + 0.5
    out = check_against_scalars(block, literal, x)
    assert not torch.equal(out, out.round())  # a current, and no sum of spikes


@pytest.mark.parametrize("kernels", KERNELS)
def test_a_layer_of_bottlenecks_is_a_loop_over_pixels(kernels) -> None:
    layer = CSPLayer(2, 4, 2, SPEC).double()
    use_kernels(layer, kernels)

    def literal(images: np.ndarray) -> np.ndarray:
        current = unit(images, layer.deep)
        for block in list(layer.blocks)[:-1]:
            current = current + unit(unit(fired(current, block.enter), block.conv1), block.conv2)
        spikes = fired(current, layer.blocks[-1])
        return unit(np.concatenate((spikes, unit(images, layer.skip)), axis=1), layer.merge)

    spikes = torch.bernoulli(torch.full((2 * 1, 2, 3, 2), 0.5, dtype=torch.float64))
    out = check_against_scalars(layer, literal, spikes)
    assert set(out.unique().tolist()) == {0.0, 1.0}


def test_without_a_shortcut_nothing_changes() -> None:
    torch.manual_seed(0)
    layer = CSPLayer(4, 4, 1, SPEC, shortcut=False)
    torch.manual_seed(0)
    other = CSPLayer(4, 4, 1, UnitSpec(SPEC.activation, spikes_in=True), shortcut=False)
    torch.testing.assert_close(layer.state_dict(), other.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("mode", list(SpikeMode)[1:])
@pytest.mark.parametrize("changes", [{}, {"depthwise": True}, {"stem": "conv", "Ts": 3}])
def test_no_convolution_sees_sums(mode: SpikeMode, changes: dict) -> None:
    config = TINY.replace(use_spike=mode, depth=0.67, **changes)
    events = event_counts()
    most = {}
    for residual in ("spikes", "membrane"):
        model = lively_detector(config.replace(residual=residual), events)
        layers = measure_energy(model, [events]).layers
        most[residual] = max(layer.input_most for layer in layers if layer.spikes)
        assert all(layer.input_rate for layer in layers if layer.spikes)
    assert most["spikes"] > most["membrane"] == 1


def test_the_same_number_of_parameters_neurons_and_operations() -> None:
    events = event_counts()
    counts = []
    for residual in ("spikes", "membrane"):
        model = lively_detector(TINY.replace(residual=residual), events)
        report = measure_energy(model, [events])
        counts.append(
            (
                sum(p.numel() for p in model.parameters()),
                report.updates,
                len(report.neurons),
                report.plain.macs,
            )
        )
    assert counts[0] == counts[1]


@pytest.mark.parametrize("again", [False, True])
def test_everything_learns(again: bool) -> None:
    config = TINY.replace(residual="membrane", activation_checkpointing=again)
    events = event_counts(frames=2)
    model = lively_detector(config, events).train()
    targets = torch.tensor([[[0, 20.0, 14, 18, 12]], [[1, 40, 20, 10, 22]]])
    model(events, targets)["total_loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert all(
        model.get_parameter(f"backbone.{name}").grad.any()
        for name in ("dark3.1.blocks.0.enter.w", "dark3.1.blocks.1.conv2.conv.weight")
    )


def test_spikes_are_the_default() -> None:
    names = set(build_detector(TINY).state_dict())
    assert names == set(build_detector(TINY.replace(residual="spikes")).state_dict())
    assert not any(".enter." in name for name in names)
