from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from literal import KERNELS, literal_embedding, lively
from strategies import seeds
from torch.nn import functional

from easnn.kernels import Firing, use_kernels
from easnn.models import DetectorConfig, SpikeMode
from easnn.models.embedding import build_embedding
from easnn.models.embedding.packed import PackedConv2d, pack, unpack
from easnn.models.embedding.recurrence import LeakyNeurons, fire

ARSNN = DetectorConfig(embedding="arsnn", embedding_ksize=1, use_spike=SpikeMode.FULL)


def constant_charge(config, charge):
    """Build an embedding with a membrane that does not decay and gains `charge` in every step."""
    embedding = build_embedding(config)
    for parameter in embedding.parameters():
        torch.nn.init.zeros_(parameter)
    bias = embedding.recurrence.input_conv[0].bias
    bias.data = torch.tensor([50.0, 50.0, charge, charge])
    return embedding


def sampler(**changes):
    """Return `ARSNN` with changes, and with as many time steps as segments."""
    return ARSNN.replace(T=changes.get("Ts", 1), **changes)


def segments(config, charge, steps=4):
    with torch.no_grad():
        out = constant_charge(config, charge)(torch.zeros(1, 1, steps, 2, 2, 2))
    assert out.shape == (config.Ts, 1, 2, 2, 2)
    assert (out == out[:, :1, :1, :1, :1]).all()
    return [round(value, 5) for value in out[:, 0, 0, 0, 0].tolist()]


@pytest.mark.parametrize(
    ("changes", "charge", "expected"),
    [
        # U: 0.6, 1.2 spike, 0.6, 1.2 spike
        ({}, 0.6, [1.8]),
        ({"Ts": 2}, 0.6, [1.8, 1.8]),
        ({"Ts": 3}, 0.6, [1.8, 1.8, 0]),
        ({"Ts": 2, "readout": "last"}, 0.6, [1.2, 1.2]),
        ({"Ts": 2, "readout": "avg"}, 0.6, [0.9, 0.9]),
        # Soft reset: 0.6, 1.2 spike → 0.2, 0.8, 1.4 spike
        ({"Ts": 2, "reset": None}, 0.6, [1.8, 2.2]),
        # Reset to 0.1: 0.6, 1.2 spike → 0.1, 0.7, 1.3 spike
        ({"Ts": 2, "reset": 0.1}, 0.6, [1.8, 2.0]),
        # Not fired at the threshold itself: 0.5, 1.0, 1.5 spike, 0.5 left
        ({"Ts": 2}, 0.5, [3.0, 0.5]),
        ({"Ts": 2, "write_zero": True}, 0.5, [3.0, 0]),
        ({"Ts": 1}, 0.5, [3.0]),
        ({"Ts": 2, "readout": "last"}, 0.5, [1.5, 0.5]),
        # No spike at all: 0.2, 0.4, 0.6, 0.8
        ({"Ts": 2}, 0.2, [2.0, 0]),
        ({"write_zero": True}, 0.2, [0]),
        ({"readout": "avg"}, 0.2, [0.5]),
        ({"thresh": 0.5}, 0.2, [1.4 - 0.2]),
        # The spike of the last step leaves nothing behind
        ({"thresh": 0.7, "spike_attach": True}, 0.2, [2.0]),
        # Negative: the output may be rectified
        ({}, -0.2, [-2.0]),
        ({"abs": True}, -0.2, [0]),
    ],
)
def test_hand_counted_segments(changes, charge, expected):
    assert segments(sampler(**changes), charge) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "charge", "steps", "expected"),
    [
        # 0.5, 1.0, 1.5 spike, 0.5, 1.0 left
        ({"Ts": 2, "readout": "avg"}, 0.5, 5, [1.0, 0.75]),
        # 0.6, 1.2 spike, 0.6 beyond Ts
        ({}, 0.6, 3, [1.8]),
    ],
)
def test_hand_counted_segments_of_other_numbers_of_steps(changes, charge, steps, expected):
    assert segments(sampler(**changes), charge, steps) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("readout", "expected"), [("sum", 3.6), ("last", 0.0)])
def test_hand_counted_integral(readout, expected):
    embedding = constant_charge(
        DetectorConfig(embedding="rsnn", embedding_ksize=1, readout=readout), 0.6
    )
    out = embedding(torch.zeros(1, 1, 4, 2, 2, 2))
    torch.testing.assert_close(out, torch.full((1, 2, 2, 2), expected))


def test_leaky_integrator_keeps_its_decay():
    embedding = build_embedding(
        DetectorConfig(embedding="snn", embedding_ksize=1, decay=0.25, readout="last")
    )
    torch.nn.init.zeros_(embedding.recurrence.conv[0].weight)
    torch.nn.init.constant_(embedding.recurrence.conv[0].bias, 0.5)
    # 0.5, 0.625, 0.65625
    out = embedding(torch.zeros(1, 1, 3, 2, 2, 2))
    torch.testing.assert_close(out, torch.full((1, 2, 2, 2), 0.65625))


def test_newest_slice_is_read_first():
    embedding = constant_charge(sampler(Ts=2), 0.0)
    embedding.recurrence.input_conv[0].weight.data[2:] = torch.eye(2)[:, :, None, None]
    events = torch.tensor([5.0, 0.5]).view(1, 1, 2, 1, 1, 1).expand(1, 1, 2, 2, 2, 2)
    out = embedding(events)  # U: 0.5, 5.5 spike
    assert out[:, 0, 0, 0, 0].tolist() == [6.0, 0.0]


@st.composite
def embeddings(draw):
    """A setting of `arsnn`, `rsnn` or `snn`, with as many time steps as segments."""
    kind = draw(st.sampled_from(["arsnn", "rsnn", "snn"]))
    Ts = draw(st.integers(1, 4)) if kind == "arsnn" else 1
    act = draw(st.sampled_from(["relu", "lif"]))
    return DetectorConfig(
        embedding=kind,
        embedding_act=act,
        embedding_depth=2 if act == "lif" else draw(st.integers(1, 2)),
        embedding_ksize=draw(st.sampled_from([1, 3])),
        use_spike=SpikeMode.FULL,
        T=Ts,
        Ts=Ts,
        readout=draw(
            st.sampled_from(["sum", "last", "avg"] if kind == "arsnn" else ["sum", "last"])
        ),
        write_zero=draw(st.booleans()),
        spike_attach=draw(st.booleans()),
        reset=draw(st.sampled_from([0.0, None, 0.25, -0.5])),
        thresh=draw(st.sampled_from([0.3, 1.0, -0.2])),
        decay=draw(st.sampled_from([0.1, 0.5, 0.9])),
        abs=draw(st.booleans()),
    )


@pytest.mark.parametrize("kernels", KERNELS)
@given(embeddings(), st.integers(1, 2), st.integers(1, 5), seeds)
def test_agrees_with_the_literal_loop_over_pixels(kernels, config, B, steps, seed):
    embedding = lively(build_embedding(config), seed)
    use_kernels(embedding, kernels)
    events = np.random.default_rng(seed).poisson(0.7, (B, steps, 2, 2, 4)).astype(np.float64)
    with torch.no_grad():
        found = embedding(torch.from_numpy(events)[:, None]).numpy()
    expected = literal_embedding(embedding, config, events)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_macro_slices_continue_the_sequence():
    embedding = build_embedding(sampler(Ts=2))
    events = torch.poisson(torch.ones(2, 4, 1, 2, 4, 4))
    assert torch.equal(embedding(events), embedding(events.transpose(1, 2)))


def test_spike_attach_changes_the_gradient_and_not_the_value():
    events = torch.poisson(torch.ones(1, 1, 4, 2, 8, 8))
    results = []
    for attach in (False, True):
        torch.manual_seed(3)
        embedding = build_embedding(sampler(spike_attach=attach))
        out = embedding(events)
        out.sum().backward()
        results.append((out, embedding.recurrence.input_conv[0].weight.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert not torch.allclose(results[0][1], results[1][1])


@pytest.mark.parametrize(
    ("reset", "through_rest"), [(0.0, [1, -0.8, -1.2, 0]), (None, [1, 0, 0, 1])]
)
def test_gradient_of_a_spike_is_a_rectangle(reset, through_rest):
    # The threshold is 1; the surrogate reaches from 0.5 to 1.5.
    membrane = torch.tensor([0.4, 0.8, 1.2, 1.6], requires_grad=True)
    spikes, rest = fire(membrane, Firing(1.0, reset))
    assert spikes.tolist() == [0, 0, 1, 1]
    expected = torch.tensor(through_rest) + (0 if reset is None else torch.tensor([0, 1, 0, 0]))
    torch.testing.assert_close(
        torch.autograd.grad(rest.sum(), membrane, retain_graph=True)[0], expected.float()
    )
    assert torch.autograd.grad(spikes.sum(), membrane)[0].tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [(2, 4), (1, 2), (1, 1), (4, 8)])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
def test_packed_convolution_is_a_convolution(kernel_size, channels, memory_format):
    conv = PackedConv2d(*channels, kernel_size).double().to(memory_format=memory_format)
    results = []
    for convolve in (
        lambda x: unpack(conv(pack(x))),
        lambda x: functional.conv2d(x, conv.weight, conv.bias, padding=kernel_size // 2),
    ):
        torch.manual_seed(1)
        x = torch.randn(3, channels[0], 6, 8, dtype=torch.float64, requires_grad=True)
        out = convolve(x)
        inputs = (x, conv.weight, conv.bias)
        weight = torch.randn(out.shape, dtype=torch.float64)
        results.append((out, *torch.autograd.grad((out * weight).sum(), inputs)))
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


def test_count_is_the_sum_of_all_slices():
    events = torch.poisson(torch.ones(2, 3, 4, 2, 8, 8))
    assert torch.equal(build_embedding(DetectorConfig())(events), events.sum((1, 2)))


def test_norm_sees_segments_as_a_batch():
    embedding = build_embedding(sampler(Ts=2, norm="bn"))
    out = embedding(torch.poisson(torch.ones(3, 1, 4, 2, 8, 8)))
    torch.testing.assert_close(out.mean((0, 1, 3, 4)), torch.zeros(2), atol=1e-5, rtol=0)


def test_membrane_is_float32_in_mixed_precision():
    embedding = build_embedding(sampler(embedding_ksize=3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert embedding(torch.ones(1, 1, 4, 2, 8, 8)).dtype is torch.float32


def test_initial_weights():
    torch.manual_seed(0)
    recurrence = build_embedding(DetectorConfig(embedding="arsnn", embedding_ksize=5)).recurrence
    rows = recurrence.input_conv[0].weight.flatten(1)
    torch.testing.assert_close(rows @ rows.T, 2 * torch.eye(4), atol=1e-5, rtol=0)
    bound = (3 / 50) ** 0.5  # Kaiming with gain 1 and 2·5·5 inputs
    largest = recurrence.gate_conv[0].weight.abs().max().item()
    assert 0.9 * bound < largest <= bound


@pytest.mark.parametrize(
    ("changes", "charge", "expected"),
    [
        # RPD drops what is left, whatever the readout: 0.5, 1.0, 1.5 spike, 0.5 left
        ({"Ts": 2, "readout": "last", "write_zero": True}, 0.5, [1.5, 0]),
        ({"Ts": 2, "readout": "avg", "write_zero": True}, 0.5, [1.0, 0]),
        ({"Ts": 2, "reset": None, "write_zero": True}, 0.5, [3.0, 0]),
        # Without RPD: 0.5, 1.0, 1.5 spike → 0.5, 1.0: nothing fires at the threshold, and 1.0 is
        # left
        ({"Ts": 2, "reset": None}, 0.5, [3.0, 1.0]),
        ({"Ts": 2, "reset": None, "readout": "last"}, 0.5, [1.5, 1.0]),
        # A spike in every step, 1.2: segments beyond Ts are lost, and so is what is left after them
        ({"Ts": 1}, 1.2, [1.2]),
        ({"Ts": 2}, 1.2, [1.2, 1.2]),
        ({"Ts": 3, "readout": "avg"}, 1.2, [1.2, 1.2, 1.2]),
        # SAT keeps every value
        ({"Ts": 2, "spike_attach": True}, 0.6, [1.8, 1.8]),
        ({"Ts": 2, "spike_attach": True}, 0.5, [3.0, 0.5]),
        # Two spikes of 1.2 with a soft reset that leaves 0.2, 0.4 and 0.6 behind
        ({"Ts": 4, "reset": None}, 1.2, [1.2, 1.4, 1.6, 1.8]),
        # abs after the segments: −0.3, −0.6, −0.9, −1.2
        ({"Ts": 2, "abs": True}, -0.3, [0, 0]),
        ({"Ts": 2}, -0.3, [-3.0, 0]),
    ],
)
def test_hand_counted_options(changes, charge, expected):
    assert segments(sampler(**changes), charge) == pytest.approx(expected, abs=1e-5)


def gradient_of_charges(changes, charges):
    """Return the output for a membrane without decay, and its gradient by each step's charge.

    All pixels are alike; `charges` are in the order of reading, newest first.
    """
    embedding = constant_charge(sampler(**changes), 0.0)
    embedding.recurrence.input_conv[0].weight.data[2:] = torch.eye(2)[:, :, None, None]
    steps = torch.tensor(charges, requires_grad=True)
    out = embedding(steps.flip(0).view(1, 1, -1, 1, 1, 1).expand(-1, -1, -1, 2, 2, 2))
    written = out[:, 0, 0, 0, 0]
    (grad,) = torch.autograd.grad(written.sum(), steps)
    return written.tolist(), grad.tolist()


@pytest.mark.parametrize(
    ("changes", "charges", "written", "grad"),
    [
        # U: 0.6, 1.2 spike. V = U·(1 − S), and the surrogate of S is 1 at 0.6: the first charge c
        # changes V by 1 − 0.6 = 0.4, and the second U as much. A = U + U.
        ({}, [0.6, 0.6], [1.8], [1 + 0.4, 1]),
        # SAT writes A·S. The surrogate is 1 at 1.2, too: A·S adds A = 1.8 times the changes of the
        # second U.
        ({"spike_attach": True}, [0.6, 0.6], [1.8], [1.4 + 1.8 * 0.4, 1 + 1.8]),
        ({"spike_attach": True, "readout": "last"}, [0.6, 0.6], [1.2], [0.4 + 1.2 * 0.4, 1 + 1.2]),
        (
            {"spike_attach": True, "readout": "avg"},
            [0.6, 0.6],
            [0.9],
            [1.4 / 2 + 0.9 * 0.4, 1 / 2 + 0.9],
        ),
        # The surrogate ends at ½: the second U, 1.6, is too far from the threshold, and SAT adds
        # nothing.
        ({"spike_attach": True}, [0.8, 0.8], [2.4], [1 + 0.2, 1]),
        # A soft reset changes V by 1 − thresh = 0 where the surrogate is 1.
        ({"reset": None}, [0.6, 0.6], [1.2 + 0.6], [1, 1]),
        # A reset to 0.5 changes V by 1 − 0.6 + 0.5.
        ({"reset": 0.5}, [0.6, 0.6], [1.8], [1 + 0.9, 1]),
        # RPD: what is left is not written and has no gradient; SAT does not touch it without RPD.
        ({"write_zero": True}, [0.2, 0.2], [0], [0, 0]),
        ({"spike_attach": True}, [0.2, 0.2], [0.6], [2, 1]),
        # Beyond Ts nothing is written: the third charge fires again, unseen.
        ({}, [1.8, 0.3, 1.9], [1.8], [1, 0, 0]),
        ({"spike_attach": True}, [1.2, 0.3, 1.9], [1.2], [1 + 1.2, 0, 0]),
    ],
)
def test_hand_computed_gradients(changes, charges, written, grad):
    found_written, found_grad = gradient_of_charges(changes, charges)
    assert found_written == pytest.approx(written, abs=1e-5)
    assert found_grad == pytest.approx(grad, abs=1e-5)


@pytest.mark.parametrize("write_zero", [True, False])
@pytest.mark.parametrize(("Ts", "read"), [(1, 2), (2, 4)])
def test_nothing_is_read_when_all_segments_are_written(Ts, read, write_zero):
    """The published sampler, which stops once every pixel is done, writes and learns the same."""
    charges = [0.6, 0.6, 0.6, 0.6, 0.9, 3.0]  # a spike in every second step
    changes = {"Ts": Ts, "write_zero": write_zero, "spike_attach": True}
    whole, grad = gradient_of_charges(changes, charges)
    stopped, grad_stopped = gradient_of_charges(changes, charges[:read])
    assert whole == stopped == pytest.approx([1.8] * Ts)
    assert grad == [*grad_stopped, *[0] * (len(charges) - read)]


@pytest.mark.parametrize("Ts", [1, 2, 4])
def test_norm_with_every_number_of_segments(Ts):
    embedding = constant_charge(sampler(Ts=Ts, norm="bn"), 0.6).eval()
    embedding.norm.running_mean.fill_(1.0)
    embedding.norm.running_var.fill_(4.0 - 1e-3)
    embedding.norm.weight.data.fill_(3.0)
    embedding.norm.bias.data.fill_(0.5)
    with torch.no_grad():
        out = embedding(torch.zeros(2, 1, 4, 2, 2, 2))
    # Segments are 1.8, 1.8 and empty ones: 3·(1.8 − 1)/2 + 0.5 and 3·(0 − 1)/2 + 0.5
    expected = torch.tensor([1.7, 1.7, -1.0, -1.0])[:Ts].view(Ts, 1, 1, 1, 1).expand(Ts, 2, 2, 2, 2)
    torch.testing.assert_close(out, expected)


def test_abs_comes_before_norm():
    embedding = constant_charge(sampler(abs=True, norm="bn"), -0.6).eval()
    embedding.norm.bias.data.fill_(0.5)
    embedding.norm.weight.data.fill_(1.0)
    with torch.no_grad():
        assert (embedding(torch.zeros(1, 1, 4, 2, 2, 2)) == 0.5).all()


@pytest.mark.parametrize("embedding", ["rsnn", "snn", "count"])
def test_abs_of_the_other_embeddings(embedding):
    module = build_embedding(DetectorConfig(embedding=embedding, embedding_ksize=3, abs=True))
    events = torch.randn(1, 1, 4, 2, 8, 8)
    out = module(events)
    assert out.min() == 0 < out.max()
    if embedding == "count":
        assert torch.equal(out, events.sum((1, 2)).relu())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # decay 0.25, charge 0.8: U = 0.8, 1.0, 1.05 spike, 0.8
        ({}, 0.8 + 1.0 + 1.05 + 0.8),
        ({"readout": "last"}, 0.8),
        # Soft reset: 0.8, 1.0, 1.05 → 0.05, 0.8125
        ({"reset": None}, 0.8 + 1.0 + 1.05 + 0.8125),
        ({"reset": None, "readout": "last"}, 0.8125),
        # Reset to −1: 0.8, 1.0, 1.05 → −1, 0.55
        ({"reset": -1.0}, 0.8 + 1.0 + 1.05 + 0.55),
        # The spike of the last step is reset: 0.8 → 0 every time
        ({"thresh": 0.75, "readout": "last"}, 0.0),
    ],
)
def test_hand_counted_leaky_integral(changes, expected):
    embedding = build_embedding(
        DetectorConfig(embedding="snn", embedding_ksize=1, decay=0.25, **changes)
    )
    torch.nn.init.zeros_(embedding.recurrence.conv[0].weight)
    torch.nn.init.constant_(embedding.recurrence.conv[0].bias, 0.8)
    out = embedding(torch.zeros(1, 1, 4, 2, 2, 2))
    torch.testing.assert_close(out, torch.full((1, 2, 2, 2), expected))


def test_decay_is_learned():
    embedding = build_embedding(DetectorConfig(embedding="snn", embedding_ksize=1, decay=0.25))
    torch.nn.init.zeros_(embedding.recurrence.conv[0].weight)
    torch.nn.init.constant_(embedding.recurrence.conv[0].bias, 0.2)
    # U: 0.2, then 0.2·(d + 1) with d = sigmoid(decay): the derivative is 0.2·d·(1 − d), for 8
    # values.
    embedding(torch.zeros(1, 1, 2, 2, 2, 2)).sum().backward()
    assert embedding.recurrence.decay.grad.item() == pytest.approx(8 * 0.2 * 0.25 * 0.75)


LIF = ARSNN.replace(embedding_depth=2, embedding_act="lif")


def step_by_step(neurons, currents):
    """Run neurons on currents [S, N]; return their spikes [S, N]."""
    spikes, membrane = [], None
    for current in currents:
        fired, membrane = neurons(current, membrane)
        spikes.append(fired)
    return torch.stack(spikes)


@pytest.mark.parametrize(
    ("changes", "spikes"),
    [
        # decay 0.25: U = 0.9, 1.125 spike → 0, 0.9, 1.125 spike
        ({}, [0, 1, 0, 1]),
        # Soft reset: 0.9, 1.125 → 0.125, 0.93125, 1.1328125 spike
        ({"reset": None}, [0, 1, 0, 1]),
        # Nothing fires at the threshold itself
        ({"thresh": 0.9}, [0, 1, 0, 1]),
        ({"thresh": 0.8}, [1, 1, 1, 1]),
        # Reset to 0.8: 0.9, 1.125 → 0.8, 1.1 spike → 0.8, 1.1 spike
        ({"reset": 0.8}, [0, 1, 1, 1]),
    ],
)
def test_hand_counted_neurons_of_a_branch(changes, spikes):
    neurons = LeakyNeurons(LIF.replace(decay=0.25, **changes)).double()
    currents = torch.full((4, 1), 0.9, dtype=torch.float64)
    assert step_by_step(neurons, currents)[:, 0].tolist() == spikes


@pytest.mark.parametrize("reset", [0.0, None, 0.25])
def test_gradients_of_neurons_of_a_branch_are_those_of_a_loop_over_pixels(reset):
    neurons = LeakyNeurons(LIF.replace(decay=0.4, thresh=0.7, reset=reset)).double()
    random = np.random.default_rng(3)
    currents, upstream = random.normal(0.4, 0.6, (5, 9)), random.normal(0, 1, (5, 9))
    leaf = torch.from_numpy(currents).requires_grad_()
    spikes = step_by_step(neurons, leaf)
    (spikes * torch.from_numpy(upstream)).sum().backward()

    keep = 1 / (1 + np.exp(-neurons.decay.item()))
    of_decay, of_current = 0.0, np.zeros_like(currents)
    for pixel in range(9):
        before, charged, fired = [0.0], [], []
        for x in currents[:, pixel]:
            u = keep * before[-1] + x
            charged.append(u)
            fired.append(float(u > 0.7))
            before.append(u if not fired[-1] else u - 0.7 if reset is None else reset)
        assert spikes[:, pixel].tolist() == fired
        of_after = 0.0
        for t in reversed(range(5)):
            of_spike = 1.0 if abs(charged[t] - 0.7) < 0.5 else 0.0
            through_reset = (
                1 - 0.7 * of_spike
                if reset is None
                else 1 - fired[t] + (reset - charged[t]) * of_spike
            )
            of_current[t, pixel] = upstream[t, pixel] * of_spike + of_after * through_reset
            of_decay += of_current[t, pixel] * before[t] * keep * (1 - keep)
            of_after = keep * of_current[t, pixel]
    assert 0 < np.count_nonzero(of_current) < of_current.size
    np.testing.assert_allclose(leaf.grad, of_current, rtol=1e-12, atol=1e-12)
    assert neurons.decay.grad.item() == pytest.approx(of_decay, rel=1e-12)


@pytest.mark.parametrize("embedding", ["arsnn", "rsnn", "snn"])
def test_neurons_of_the_branches_start_anew_and_learn(embedding):
    config = ARSNN.replace(
        embedding=embedding, embedding_depth=3, embedding_ksize=3, embedding_act="lif", T=1
    )
    model = lively(build_embedding(config), 1)
    events = torch.poisson(torch.ones(2, 1, 4, 2, 8, 8, dtype=torch.float64))
    out = model(events)
    assert torch.equal(model(events), out)
    out.sum().backward()
    decays = [n for n, _ in model.named_parameters() if n.endswith(".decay")]
    assert len(decays) == (3 if embedding == "snn" else 4)
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    # What a later window computes does not depend on what came before it in the batch.
    torch.testing.assert_close(model(events[1:]), model(events).narrow(-4, 1, 1))


def test_neurons_of_a_branch_read_the_newest_slice_first():
    model = lively(build_embedding(LIF.replace(embedding="snn", Ts=1, readout="last")), 0)
    seen = []
    layer = model.recurrence.conv[1]
    layer.register_forward_pre_hook(lambda _, args: seen.append(args[0].mean().item()))
    with torch.no_grad():
        model.recurrence.conv[0].weight.fill_(1.0)
        model.recurrence.conv[0].bias.zero_()
        model(
            torch.arange(3.0, dtype=torch.float64).view(1, 1, 3, 1, 1, 1).expand(1, 1, 3, 2, 2, 2)
        )
    assert seen == [4.0, 2.0, 0.0]


def test_neurons_of_a_branch_are_float32_in_mixed_precision():
    model = build_embedding(LIF)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, membrane = model.recurrence.gate_conv[1](torch.ones(1, 16, 4, 4).bfloat16(), None)
        assert model(torch.ones(1, 1, 4, 2, 8, 8)).dtype is torch.float32
    assert membrane.dtype is torch.float32
