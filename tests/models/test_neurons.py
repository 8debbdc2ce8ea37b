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

from easnn.kernels import (
    plain_ilif,
    plain_plif,
    spikingjelly_ilif,
    spikingjelly_plif,
    use_kernels,
)
from easnn.models import IntegerLIF, ParametricLIF, quantiser_note
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


def literal_ilif(current, levels, upstream):
    """Run one integer neuron, step by step: currents of T steps → spikes and their gradients."""
    charged, spikes, membrane = [], [], 0.0
    for x in current:
        charged.append(0.25 * membrane + x)
        spikes.append(float(round(min(max(charged[-1], 0.0), levels))))  # ties to even
        membrane = charged[-1] - spikes[-1]
    gradients, of_next = [], 0.0
    for h, grad in zip(charged[::-1], upstream[::-1], strict=True):
        # H reaches its spikes, and H of the next step; the spikes do not reach the next step.
        of_next = (grad if 0 <= h <= levels else 0.0) + 0.25 * of_next
        gradients.insert(0, of_next)
    return spikes, gradients


def ran(neuron, currents, upstream):
    """Return the spikes and gradients of a layer for arrays ``[T, B, C, H, W]``."""
    stacked = torch.from_numpy(currents).flatten(0, 1)
    stacked = stacked.contiguous(memory_format=torch.channels_last).requires_grad_()
    spikes = neuron(stacked)
    spikes.backward(torch.from_numpy(upstream).flatten(0, 1))
    in_time = (values.unflatten(0, (len(currents), -1)) for values in (spikes, stacked.grad))
    return tuple(values.detach().numpy() for values in in_time)


QUARTERS = st.integers(-8, 40).map(lambda quarters: quarters / 4)
"""What is kept of sums of these is exact, and they are often exactly ½, 1½, 0 or D."""


@pytest.mark.parametrize("kernels", KERNELS)
@given(
    st.integers(1, 4).flatmap(
        lambda T: arrays(np.float64, (T, 2, 3, 1, 3), elements=QUARTERS, fill=st.nothing())
    ),
    st.integers(1, 9),
)
def test_every_integer_neuron_is_the_literal_loop(kernels, currents, levels):
    neuron = IntegerLIF(len(currents), levels)
    use_kernels(neuron, kernels)
    upstream = np.random.default_rng(0).integers(-8, 8, currents.shape) / 4
    spikes, gradients = ran(neuron, currents, upstream)
    for place in np.ndindex(currents.shape[1:]):
        pixel = (slice(None), *place)
        expected = literal_ilif(currents[pixel].tolist(), levels, upstream[pixel].tolist())
        assert [spikes[pixel].tolist(), gradients[pixel].tolist()] == list(expected)


def test_hand_counted_numbers_of_spikes():
    # H = V/4 + X. H: 1.5 → 2 (to even), V −0.5 | 2.5 → 2, V 0.5 | 9.125 → 4, V 5.125 | 0.28125 → 0
    neuron = IntegerLIF(4, 4)
    current = torch.tensor([1.5, 2.625, 9.0, -1.0])[:, None]
    assert neuron(current)[:, 0].tolist() == [2, 2, 4, 0]


@pytest.mark.parametrize("levels", [1, 4, 255])
@pytest.mark.parametrize("T", [1, 3])
def test_integer_kernels_agree_with_spikingjelly(T, levels):
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        found = []
        for steps in (plain_ilif, spikingjelly_ilif):
            torch.manual_seed(1)
            current = (levels * torch.randn(T * 2, 3, 4, 5)).to(dtype).requires_grad_()
            spikes = steps(current, T, levels)
            spikes.backward(torch.randn(spikes.shape).to(dtype))
            found.append((spikes, current.grad))
        assert (spikes.min(), spikes.max()) == (0, levels)
        assert torch.equal(found[0][0], found[1][0])
        rounding = 1e-2 if dtype is torch.bfloat16 else 1e-12
        torch.testing.assert_close(found[0][1], found[1][1], rtol=rounding, atol=rounding)


def test_integer_neurons_are_part_of_a_graph():
    neuron, current = IntegerLIF(3, 4), 3 * torch.randn(6, 4, 5)
    exported = torch.export.export(neuron, (current,), strict=False).module()
    compiled = torch.compile(neuron, fullgraph=True, backend="eager")
    gradients = []
    for layer in (neuron, compiled):
        leaf = current.clone().requires_grad_()
        spikes = layer(leaf)
        assert torch.equal(spikes, exported(current))
        (spikes * torch.arange(spikes.numel()).view_as(spikes)).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)


def test_integer_neurons_repeat_an_input_of_one_step():
    once, always = IntegerLIF(3, 4, steps_in=1), IntegerLIF(3, 4)
    current = 3 * torch.randn(2, 4, 8, 8)
    assert torch.equal(once(current), always(torch.cat([current] * 3)))


@pytest.mark.parametrize("kernels", KERNELS)
def test_an_integer_neuron_does_not_hide_a_nan(kernels):
    neuron = IntegerLIF(1, 4)
    use_kernels(neuron, kernels)
    current = torch.tensor([torch.nan, torch.inf, -torch.inf, 1.0]).view(1, 4, 1, 1)
    spikes = neuron(current.contiguous(memory_format=torch.channels_last))[0, :, 0, 0]
    assert spikes[0].isnan()
    assert spikes[1:].tolist() == [4, 0, 1]


def test_integer_neurons_say_what_they_are_without_a_second_step():
    assert quantiser_note(torch.nn.Sequential(IntegerLIF(1, 4))) == (
        "With `T` 1, integer neurons have no memory: they are quantisers with 5 levels, 0 to 4."
    )
    assert (
        quantiser_note(torch.nn.Sequential(IntegerLIF(2, 4), ParametricLIF(1, "atan", 2.0))) is None
    )
    assert str(IntegerLIF(2, 4)) == "IntegerLIF(levels=4, T=2, steps_in=2)"
