from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from literal import KERNELS
from spikingjelly.activation_based import functional
from spikingjelly.activation_based.neuron import ParametricLIFNode
from spikingjelly.activation_based.surrogate import ATan

from easnn.kernels import plain_plif, spikingjelly_plif, use_kernels
from easnn.models import ParametricLIF
from easnn.models.neurons import LearnedATan, build_surrogate

SURROGATES = ("atan", "sigmoid", "rect")


def test_hand_counted_spikes():
    # τ = 2: H = V/2 + X. H: 0.8 | 1.2 → 0.2 | 1.0 → 0 | 2.5 → 1.5 | 0.75
    neuron = ParametricLIF(5, "atan", 2.0)
    current = torch.tensor([0.8, 0.8, 0.9, 2.5, 0.0])[:, None]
    assert neuron(current)[:, 0].tolist() == [0, 1, 1, 1, 0]


def literal_plif(current, leak):
    """Run one neuron, one step after the other: currents of T steps → spikes."""
    spikes, membrane = [], 0.0
    for x in current:
        charged = x + membrane * (1 - leak)
        spikes.append(1.0 if charged >= 1 else 0.0)
        membrane = charged - spikes[-1]
    return spikes


CURRENTS = st.integers(-16, 24).map(lambda eighths: eighths / 8)
"""Where τ is 2, sums of these and their halves are exact, and often exactly the threshold."""


@pytest.mark.parametrize("kernels", KERNELS)
@given(
    st.integers(1, 5).flatmap(
        lambda T: arrays(np.float64, (T, 2, 3, 2, 2), elements=CURRENTS, fill=st.nothing())
    ),
    st.one_of(st.just(0.0), st.floats(-3, 3)),
)
def test_every_neuron_is_the_literal_loop(kernels, currents, w):
    T = len(currents)
    neuron = ParametricLIF(T, "atan", 2.0).double()
    neuron.w.data.fill_(w)
    use_kernels(neuron, kernels)
    with torch.no_grad():
        stacked = torch.from_numpy(currents).flatten(0, 1)
        spikes = neuron(stacked.contiguous(memory_format=torch.channels_last)).unflatten(0, (T, -1))
        leak = torch.tensor(w, dtype=torch.float64).sigmoid().item()
    expected = np.apply_along_axis(literal_plif, 0, currents, leak)
    assert np.array_equal(spikes.numpy(), expected)


@pytest.mark.parametrize("T", [1, 3])
@pytest.mark.parametrize("spike_fn", SURROGATES)
def test_plain_plif_agree_with_spikingjelly(spike_fn, T):
    step = build_surrogate(spike_fn, 1.5)
    found = []
    for steps in (plain_plif, spikingjelly_plif):
        torch.manual_seed(1)
        current = (torch.randn(T * 2, 3, 4, 5, dtype=torch.float64) + 0.6).requires_grad_()
        w = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        spikes = steps(current, w, T, step)
        spikes.mul(torch.randn_like(spikes)).sum().backward()
        found.append((spikes, current.grad, w.grad))
    assert 0 < found[0][0].mean() < 1
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


def test_agrees_with_the_node_of_spikingjelly():
    node = ParametricLIFNode(2.0, False, 1.0, None, ATan(2.0), step_mode="m").double()
    neuron = ParametricLIF(4, "atan", 2.0).double()
    current = torch.randn(4, 6, 5, dtype=torch.float64) + 0.5
    for module, x in ((node, current), (neuron, current.flatten(0, 1))):
        (module(x).flatten() * torch.arange(120)).sum().backward()
    assert neuron.w.item() == node.w.item() == 0
    assert neuron.w.grad.item() == pytest.approx(node.w.grad.item(), rel=1e-12)
    functional.reset_net(node)
    assert torch.equal(neuron(current.flatten(0, 1)), node(current).flatten(0, 1))


@pytest.mark.parametrize("spike_fn", [*SURROGATES, "patan"])
def test_input_of_one_step_counts_for_all(spike_fn):
    once, always = ParametricLIF(3, spike_fn, 2.0, steps_in=1), ParametricLIF(3, spike_fn, 2.0)
    results = []
    for neuron, repeats in ((once, 1), (always, 3)):
        torch.manual_seed(1)
        current = torch.randn(2, 4, 8, 8).requires_grad_()
        spikes = neuron(torch.cat([current] * repeats))
        spikes.mul(torch.randn_like(spikes)).sum().backward()
        results.append((spikes, current.grad, neuron.w.grad))
    torch.testing.assert_close(*results)


def test_starts_from_zero_in_every_forward():
    neuron = ParametricLIF(2, "atan", 2.0)
    current = torch.full((2, 3), 0.8)
    assert torch.equal(neuron(current), neuron(current))


@pytest.mark.parametrize("steps", [plain_plif, spikingjelly_plif])
def test_membrane_is_float32_when_the_input_is_not(steps):
    # H = 511/512 in the second step, which bfloat16 would round to 1.
    current = torch.tensor([[255 / 256], [1 / 2]], dtype=torch.bfloat16)
    spikes = steps(current, torch.tensor(0.0), 2, build_surrogate("atan", 2.0))
    assert spikes.dtype is torch.bfloat16
    assert spikes.tolist() == [[0], [0]]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_keeps_the_memory_format(memory_format):
    current = torch.randn(6, 4, 8, 8).contiguous(memory_format=memory_format)
    assert ParametricLIF(3, "atan", 2.0)(current).is_contiguous(memory_format=memory_format)


def test_surrogate_derivatives_are_those_of_their_primitives():
    x = torch.tensor([-2.0, -0.6, -0.4, 0.0, 0.3, 0.7, 2.0], dtype=torch.float64)
    primitives = {
        "atan": lambda x: torch.atan(math.pi / 2 * 1.5 * x) / math.pi,
        "patan": lambda x: torch.atan(math.pi / 2 * 1.5 * x) / math.pi,
        "sigmoid": lambda x: torch.sigmoid(1.5 * x),
        "rect": lambda x: x.clamp(-0.5, 0.5),
    }
    for name, primitive in primitives.items():
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        spikes = build_surrogate(name, 1.5).double()(a)
        assert spikes.tolist() == [0, 0, 0, 1, 1, 1, 1]
        spikes.sum().backward()
        primitive(b).sum().backward()
        torch.testing.assert_close(a.grad, b.grad, msg=name)


@pytest.mark.parametrize(
    ("name", "alpha", "x", "derivative"),
    [
        # α/2 / (1 + (π/2·α·x)²)
        ("atan", 2.0, 0.0, 1.0),
        ("atan", 2.0, 1 / math.pi, 0.5),
        ("atan", 1.5, 2 / (3 * math.pi), 0.6),
        ("patan", 2.0, 0.0, 1.0),
        ("patan", 2.0, -1 / math.pi, 0.5),
        # α·σ(αx)·(1 − σ(αx))
        ("sigmoid", 4.0, 0.0, 1.0),
        ("sigmoid", 2.0, math.log(3) / 2, 2 * 0.75 * 0.25),
        # 1 where |x| < ½; there is no sharpness
        ("rect", 2.0, 0.49, 1.0),
        ("rect", 7.0, -0.49, 1.0),
        ("rect", 2.0, 0.51, 0.0),
        ("rect", 2.0, -0.51, 0.0),
    ],
)
def test_hand_computed_derivatives(name, alpha, x, derivative):
    at = torch.tensor([x], dtype=torch.float64, requires_grad=True)
    spikes = build_surrogate(name, alpha).double()(at)
    assert spikes.item() == (x >= 0)
    spikes.backward()
    assert at.grad.item() == pytest.approx(derivative)


def test_hand_computed_derivative_by_the_slope():
    # x/2 / (1 + (π/2·a·x)²) at a = 2, x = 1/π
    step = LearnedATan(2.0).double()
    step(torch.tensor([1 / math.pi], dtype=torch.float64)).backward()
    assert step.slope.grad.item() == pytest.approx(1 / (4 * math.pi))


def test_hand_computed_gradient_through_the_soft_reset():
    # τ = 2, rectangle. H: 1.2 spike → 0.2, 0.7. The surrogate is 1 at both: the first current
    # changes the first spike by 1, V by 1 − 1 = 0, and so the second spike not at all.
    neuron = ParametricLIF(2, "rect", 1.0)
    current = torch.tensor([1.2, 0.6])[:, None].requires_grad_()
    spikes = neuron(current)
    assert spikes[:, 0].tolist() == [1, 0]
    (spikes * torch.tensor([[3.0], [5.0]])).sum().backward()
    assert current.grad[:, 0].tolist() == [3, 5]
    # H₂ = (1 − σ(w))·V + X, V = 0.2, σ' = ¼
    assert neuron.w.grad.item() == pytest.approx(5 * -0.25 * 0.2)


@pytest.mark.parametrize("slope", [1.5, -1.5])
def test_learned_slope_gets_the_gradient_of_the_primitive(slope):
    x, weight = torch.randn(50, dtype=torch.float64), torch.randn(50, dtype=torch.float64)
    step = LearnedATan(slope).double()
    (step(x) * weight).sum().backward()
    a = torch.tensor(slope, dtype=torch.float64, requires_grad=True)
    ((torch.atan(math.pi / 2 * a.abs() * x) / math.pi + 0.5) * weight).sum().backward()
    assert step.slope.grad.item() == pytest.approx(a.grad.item(), rel=1e-12)
