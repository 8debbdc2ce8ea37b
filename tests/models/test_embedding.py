from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from easnn.models import EmbeddingConfig
from easnn.models.embedding import build_embedding
from easnn.models.embedding.packed import PackedConv2d, pack, unpack
from easnn.models.embedding.spike import fire

ARSNN = EmbeddingConfig(kind="arsnn", depth=1, kernel_size=1, Tm=4)


def constant_charge(config, charge):
    """Build an embedding whose membrane keeps all it has and is charged by `charge` in every step."""
    embedding = build_embedding(config)
    for parameter in embedding.parameters():
        torch.nn.init.zeros_(parameter)
    bias = embedding.recurrence.input_conv[0].bias
    bias.data = torch.tensor([50.0, 50.0, charge, charge])
    return embedding


def segments(config, charge):
    with torch.no_grad():
        out = constant_charge(config, charge)(torch.zeros(1, 1, config.Tm, 2, 2, 2))
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
        ({"Ts": 2, "readout": "avg", "Tm": 5}, 0.5, [1.0, 0.75]),
        # No spike at all: 0.2, 0.4, 0.6, 0.8
        ({"Ts": 2}, 0.2, [2.0, 0]),
        ({"write_zero": True}, 0.2, [0]),
        ({"readout": "avg"}, 0.2, [0.5]),
        ({"threshold": 0.5}, 0.2, [1.4 - 0.2]),
        # The spike of the last step leaves nothing behind
        ({"threshold": 0.7, "spike_attach": True}, 0.2, [2.0]),
        # Negative: the output may be rectified
        ({}, -0.2, [-2.0]),
        ({"abs": True}, -0.2, [0]),
    ],
)
def test_hand_counted_segments(changes, charge, expected):
    assert segments(replace(ARSNN, **changes), charge) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("readout", "expected"), [("sum", 3.6), ("last", 0.0)])
def test_hand_counted_integral(readout, expected):
    embedding = constant_charge(EmbeddingConfig(kind="rsnn", kernel_size=1, readout=readout), 0.6)
    out = embedding(torch.zeros(1, 1, 4, 2, 2, 2))
    torch.testing.assert_close(out, torch.full((1, 2, 2, 2), expected))


def test_leaky_integrator_keeps_its_decay():
    embedding = build_embedding(EmbeddingConfig(kind="snn", kernel_size=1, decay=0.25, readout="last"))
    torch.nn.init.zeros_(embedding.recurrence.conv[0].weight)
    torch.nn.init.constant_(embedding.recurrence.conv[0].bias, 0.5)
    # 0.5, 0.625, 0.65625
    out = embedding(torch.zeros(1, 1, 3, 2, 2, 2))
    torch.testing.assert_close(out, torch.full((1, 2, 2, 2), 0.65625))


def test_newest_slice_is_read_first():
    embedding = constant_charge(replace(ARSNN, Ts=2), 0.0)
    embedding.recurrence.input_conv[0].weight.data[2:] = torch.eye(2)[:, :, None, None]
    events = torch.tensor([5.0, 0.5]).view(1, 1, 2, 1, 1, 1).expand(1, 1, 2, 2, 2, 2)
    out = embedding(events)  # U: 0.5, 5.5 spike
    assert out[:, 0, 0, 0, 0].tolist() == [6.0, 0.0]


def reference(embedding, config, events):
    """The sampler as the paper writes it, pixel by pixel, with plain convolutions."""

    def branch(layers, x):
        for layer in layers:
            x = (
                functional.conv2d(x, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)
                if isinstance(layer, PackedConv2d)
                else layer(x)
            )
        return x.chunk(2, dim=1)

    slices = events[:, 0].unbind(1)[::-1]
    V = S = torch.zeros_like(slices[0])
    history = []
    for e in slices:
        (g_in, c_in), (g_rec, c_rec) = (
            branch(embedding.recurrence.input_conv, e),
            branch(embedding.recurrence.gate_conv, S),
        )
        U = torch.sigmoid(g_in + g_rec) * V + c_in + c_rec
        S = (config.threshold < U).to(U.dtype)
        V = U - config.threshold * S if config.reset is None else U * (1 - S) + config.reset * S
        history.append((U, S, V))
    out = torch.zeros(config.Ts, *V.shape, dtype=V.dtype)
    for pixel in torch.cartesian_prod(*(torch.arange(n) for n in V.shape)).tolist():
        pixel, A, n, t_last = tuple(pixel), 0.0, 0, -1
        for t, (U, S, _) in enumerate(history):
            A += U[pixel].item()
            if S[pixel] and n < config.Ts:
                out[(n, *pixel)] = {"sum": A, "last": U[pixel].item(), "avg": A / (t - t_last)}[
                    config.readout
                ]
            if S[pixel]:
                A, n, t_last = 0.0, n + 1, t
        if not history[-1][1][pixel] and n < config.Ts and not config.write_zero:
            rest = history[-1][2][pixel].item()
            out[(n, *pixel)] = {"sum": A, "last": rest, "avg": A / (len(history) - 1 - t_last)}[
                config.readout
            ]
    return out


@pytest.mark.parametrize("reset", [0.0, None])
@pytest.mark.parametrize("readout", ["sum", "last", "avg"])
@pytest.mark.parametrize(("Ts", "write_zero"), [(1, True), (2, False), (4, False)])
def test_agrees_with_the_sampler_pixel_by_pixel(readout, Ts, write_zero, reset):
    config = replace(
        ARSNN,
        depth=2,
        kernel_size=3,
        Ts=Ts,
        readout=readout,
        write_zero=write_zero,
        reset=reset,
        threshold=0.4,
    )
    embedding = build_embedding(config).double()
    events = torch.poisson(torch.full((2, 1, 4, 2, 4, 6), 0.7, dtype=torch.float64))
    with torch.no_grad():
        expected = reference(embedding, config, events)
        torch.testing.assert_close(embedding(events), expected, rtol=1e-12, atol=1e-12)
    assert (expected[-1] != 0).any()


def test_macro_slices_continue_the_sequence():
    embedding = build_embedding(replace(ARSNN, Ts=2))
    events = torch.poisson(torch.ones(2, 4, 1, 2, 4, 4))
    assert torch.equal(embedding(events), embedding(events.transpose(1, 2)))


def test_spike_attach_changes_the_gradient_and_not_the_value():
    events = torch.poisson(torch.ones(1, 1, 4, 2, 8, 8))
    results = []
    for attach in (False, True):
        torch.manual_seed(3)
        embedding = build_embedding(replace(ARSNN, spike_attach=attach))
        out = embedding(events)
        out.sum().backward()
        results.append((out, embedding.recurrence.input_conv[0].weight.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert not torch.allclose(results[0][1], results[1][1])


@pytest.mark.parametrize(("reset", "through_rest"), [(0.0, [1, -0.8, -1.2, 0]), (None, [1, 0, 0, 1])])
def test_gradient_of_a_spike_is_a_rectangle(reset, through_rest):
    # The threshold is 1; the surrogate reaches from 0.5 to 1.5.
    membrane = torch.tensor([0.4, 0.8, 1.2, 1.6], requires_grad=True)
    spikes, rest = fire(membrane, 1.0, reset)
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
    assert torch.equal(build_embedding(EmbeddingConfig())(events), events.sum((1, 2)))


def test_norm_sees_segments_as_a_batch():
    embedding = build_embedding(replace(ARSNN, Ts=2, norm="bn"))
    out = embedding(torch.poisson(torch.ones(3, 1, 4, 2, 8, 8)))
    torch.testing.assert_close(out.mean((0, 1, 3, 4)), torch.zeros(2), atol=1e-5, rtol=0)


def test_membrane_is_float32_in_mixed_precision():
    embedding = build_embedding(replace(ARSNN, kernel_size=3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert embedding(torch.ones(1, 1, 4, 2, 8, 8)).dtype is torch.float32


def test_initial_weights():
    torch.manual_seed(0)
    recurrence = build_embedding(EmbeddingConfig(kind="arsnn", kernel_size=5)).recurrence
    rows = recurrence.input_conv[0].weight.flatten(1)
    torch.testing.assert_close(rows @ rows.T, 2 * torch.eye(4), atol=1e-5, rtol=0)
    bound = (3 / 50) ** 0.5  # Kaiming with gain 1 and 2·5·5 inputs
    largest = recurrence.gate_conv[0].weight.abs().max().item()
    assert 0.9 * bound < largest <= bound
