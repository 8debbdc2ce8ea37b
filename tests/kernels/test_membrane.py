"""The native membranes and segments of the embeddings against torch's operations."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from easnn.kernels import (
    BranchWeights,
    Firing,
    Kernels,
    SegmentRules,
    native_gated_membrane,
    native_leaky_membrane,
    native_segments,
    use_kernels,
)
from easnn.kernels.choice import native_library
from easnn.models import DetectorConfig, SpikeMode
from easnn.models.embedding import EventEmbedding, build_embedding
from easnn.models.embedding.recurrence import fire

pytestmark = pytest.mark.skipif(native_library() is None, reason="no native kernels here")

ARSNN = DetectorConfig(
    embedding="arsnn", embedding_depth=2, embedding_ksize=3, thresh=0.5, use_spike=SpikeMode.FULL
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def config(**changes: object) -> DetectorConfig:
    return ARSNN.replace(T=changes.get("Ts", 1), **changes)


def embedding_of(settings: DetectorConfig) -> EventEmbedding:
    """Build a native embedding in float64 whose biases are not zero."""
    embedding = build_embedding(settings).double()
    use_kernels(embedding, Kernels.NATIVE)
    for parameter in embedding.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, 0, 0.2)
    return embedding


def events_of(shape: tuple[int, ...], rate: float = 0.4) -> Tensor:
    """Return counts of events, of which the upper half has none."""
    events = torch.poisson(torch.full(shape, rate, dtype=torch.float64))
    events[..., : shape[-2] // 2, :] = 0
    return events


def run(embedding: EventEmbedding, kernels: Kernels, events: Tensor) -> dict[str, Tensor]:
    """Return the output and the gradients of everything, forward and backward."""
    embedding = copy.deepcopy(embedding)
    use_kernels(embedding, kernels)
    events = events.clone().requires_grad_()
    out = embedding(events)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    out.backward(weights.to(out.dtype))
    gradients = {f"grad of {name}": p.grad for name, p in embedding.named_parameters()}
    return {"output": out.detach(), "grad of events": events.grad, **gradients}


def assert_agree(settings: DetectorConfig, shape: tuple[int, ...] = (2, 1, 4, 2, 38, 70)) -> None:
    embedding, events = embedding_of(settings), events_of(shape)
    plain, native = (run(embedding, kernels, events) for kernels in Kernels)
    assert plain["output"].any()
    torch.testing.assert_close(native, plain, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("reset", [0.0, 0.2, None])
@pytest.mark.parametrize("spike_attach", [False, True])
@pytest.mark.parametrize("readout", ["sum", "last", "avg"])
@pytest.mark.parametrize(("Ts", "write_zero"), [(1, True), (1, False), (4, True), (4, False)])
def test_adaptive_sampling_agrees(Ts, write_zero, readout, spike_attach, reset):
    assert_agree(
        config(
            Ts=Ts, write_zero=write_zero, readout=readout, spike_attach=spike_attach, reset=reset
        )
    )


@pytest.mark.parametrize("reset", [0.0, 0.2, None])
@pytest.mark.parametrize("readout", ["sum", "last"])
@pytest.mark.parametrize("embedding", ["rsnn", "snn"])
def test_integrals_agree(embedding, readout, reset):
    assert_agree(config(embedding=embedding, readout=readout, reset=reset))


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7, 9])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("embedding", ["arsnn", "snn"])
def test_every_depth_and_kernel_size_agrees(embedding, depth, kernel_size):
    assert_agree(
        config(embedding=embedding, embedding_depth=depth, embedding_ksize=kernel_size),
        (1, 1, 3, 2, 34, 132),
    )


@pytest.mark.parametrize("in_channels", [1, 3, 4, 5])
@pytest.mark.parametrize("embedding", ["arsnn", "snn"])
def test_every_number_of_channels_agrees(embedding, in_channels):
    assert_agree(
        config(embedding=embedding, in_channels=in_channels), (2, 1, 3, in_channels, 6, 10)
    )


@pytest.mark.parametrize("steps", range(1, 9))
def test_every_number_of_steps_agrees(steps):
    for Ts in (1, steps):
        assert_agree(config(Ts=Ts, readout="avg", spike_attach=True), (2, 1, steps, 2, 8, 6))


def test_macro_slices_agree():
    assert_agree(config(Ts=2), (2, 3, 2, 2, 8, 6))


def layers(channels: list[int], kernel_size: int) -> list[tuple[Tensor, Tensor]]:
    """Return random weights and biases of convolutions with these channels."""
    shapes = [(out, into, kernel_size, kernel_size) for into, out in pairwise(channels)]
    return [
        (
            (0.6 * torch.randn(shape, dtype=torch.float64)).requires_grad_(),
            (0.3 * torch.randn(shape[0], dtype=torch.float64)).requires_grad_(),
        )
        for shape in shapes
    ]


def convolved(images: Tensor, branch: list[tuple[Tensor, Tensor]]) -> Tensor:
    for number, (weight, bias) in enumerate(branch):
        images = images.relu() if number else images
        images = functional.conv2d(images, weight, bias, padding=weight.shape[-1] // 2)
    return images


def reference_membrane(
    slices: Tensor,
    charge: list[tuple[Tensor, Tensor]],
    gate: list[tuple[Tensor, Tensor]] | None,
    keep: Tensor | None,
    firing: Firing,
) -> Tensor:
    """The membranes as the formula says, image by image."""
    V = S = torch.zeros_like(slices[0])
    membranes = []
    for e in reversed(slices):
        currents, kept = convolved(e, charge), keep
        if gate is not None:
            gates, currents = (currents + convolved(S, gate)).chunk(2, dim=1)
            kept = gates.sigmoid()
        membranes.append(kept * V + currents)
        S, V = fire(membranes[-1], firing)
    return torch.stack(membranes)


@pytest.mark.parametrize(
    "hw", [(1, 1), (1, 9), (9, 1), (3, 5), (33, 65), (31, 129), (65, 127), (5, 300)]
)
@pytest.mark.parametrize("kernel_size", [1, 5, 7])
@pytest.mark.parametrize("gated", [True, False])
def test_membranes_of_any_size_are_those_of_the_formula(gated, kernel_size, hw):
    channels, firing = 2, Firing(0.5, 0.1)
    charge = layers([channels, *[channels * (1 + gated)] * 2], kernel_size)
    gate = layers([channels, *[2 * channels] * 2], kernel_size) if gated else None
    keep = None if gated else torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    slices = events_of((3, 2, channels, *hw), 0.1).requires_grad_()
    inputs = [slices, *(p for branch in (charge, gate or []) for layer in branch for p in layer)]
    expected = reference_membrane(slices, charge, gate, keep, firing)
    if gate is None:
        inputs.append(keep)
        found = native_leaky_membrane(slices, BranchWeights.of(charge), keep, firing)
    else:
        found = native_gated_membrane(
            slices, BranchWeights.of(charge), BranchWeights.of(gate), firing
        )
    weights = torch.randn(found.shape, dtype=torch.float64)
    torch.testing.assert_close(
        (found, *torch.autograd.grad((found * weights).sum(), inputs)),
        (expected, *torch.autograd.grad((expected * weights).sum(), inputs)),
        rtol=1e-10,
        atol=1e-11,
    )


def test_a_membrane_that_never_fires_has_the_gradient_of_differences():
    firing, charge, gate = Firing(1e6, 0.0), layers([2, 4, 4], 3), layers([2, 4, 4], 3)
    slices = torch.randn(3, 1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    inputs = [slices, *(p for branch in (charge, gate) for layer in branch for p in layer)]

    def membranes(slices: Tensor, *weights: Tensor) -> Tensor:
        pairs = list(zip(weights[::2], weights[1::2], strict=True))
        branches = BranchWeights.of(pairs[:2]), BranchWeights.of(pairs[2:])
        return native_gated_membrane(slices, *branches, firing)

    assert torch.autograd.gradcheck(membranes, inputs)


@pytest.mark.parametrize("readout", ["sum", "last", "avg"])
@pytest.mark.parametrize("write_zero", [True, False])
def test_segments_have_the_gradient_of_differences(readout, write_zero):
    # More than ½ away from the threshold, where a spike has no gradient
    charged = 4 * torch.rand(5, 1, 2, 3, 7, dtype=torch.float64) - 2
    charged = (charged + charged.sign()).requires_grad_()
    rules = SegmentRules(2, readout, True, write_zero, Firing(0.0, 0.0))
    assert torch.autograd.gradcheck(lambda u: native_segments(u, rules), charged)


@pytest.mark.parametrize("Ts", [1, 3])
@pytest.mark.parametrize("readout", ["sum", "last", "avg"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_trace_is_that_of_the_output_to_the_bit(dtype, readout, Ts):
    embedding = build_embedding(config(Ts=Ts, readout=readout)).to(dtype)
    events = events_of((2, 1, 4, 2, 38, 70)).to(dtype)
    with torch.no_grad():
        use_kernels(embedding, Kernels.NATIVE)
        trace = embedding.trace(events)
        assert trace.spikes.any()
        assert torch.equal(trace.output, embedding(events))
        use_kernels(embedding, Kernels.PLAIN)
        differ = trace.spikes != embedding.trace(events).spikes
    assert differ.double().mean() <= (1e-4 if dtype is torch.float32 else 0)


@pytest.mark.parametrize("depth", [1, 2])
def test_float32_spikes_are_those_of_the_plain_kernels(depth):
    embedding = build_embedding(config(embedding_depth=depth, embedding_ksize=5)).float()
    events = events_of((2, 1, 4, 2, 64, 192)).float()
    plain, native = (run(embedding, kernels, events) for kernels in Kernels)
    differ = (plain["output"] - native["output"]).abs() > 1e-4
    assert differ.double().mean() < 1e-4
    assert plain["output"].any()


@pytest.mark.parametrize("embedding", ["arsnn", "snn"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_number_of_threads_changes_nothing(dtype, embedding):
    module = embedding_of(config(embedding=embedding)).to(dtype)
    events = events_of((2, 1, 3, 2, 100, 200)).to(dtype)
    results = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        results.append(run(module, Kernels.NATIVE, events))
    for result in results[1:]:
        for name, value in result.items():
            assert torch.equal(value, results[0][name]), name


def test_an_image_does_not_depend_on_its_batch():
    embedding, events = embedding_of(config()).float(), events_of((3, 1, 4, 2, 38, 70)).float()
    with torch.no_grad():
        assert torch.equal(embedding(events)[:, 1:2], embedding(events[1:2]))


def test_what_is_known_without_sums_equals_the_sums():
    """Far from all events the membrane is the same everywhere, to the bit, as near to them."""
    embedding = embedding_of(config(embedding_ksize=5)).float()
    events = torch.zeros(1, 1, 4, 2, 96, 320)
    far = embedding(events)
    # Too small to change any sum, but no zeros, so every sum around them is computed
    events[..., 48, 8::16] = 1e-30
    near = embedding(events)
    assert torch.equal(far, near)
    assert (far[..., 8:-8, 8:-8] == far[..., 48:49, 160:161]).all()


def test_mixed_precision_is_computed_in_float32():
    embedding, events = embedding_of(config()).float(), events_of((2, 1, 4, 2, 8, 10)).float()
    exact = embedding(events)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(embedding(events), exact)
    embedding = embedding.bfloat16()
    rounded = run(embedding, Kernels.NATIVE, events.bfloat16())
    assert rounded["output"].dtype is torch.float32
    assert torch.equal(rounded["output"], embedding.float()(events))
    assert rounded["grad of events"].dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("part", "register"),
    [
        ("recurrence", "forward_hook"),
        ("recurrence", "forward_pre_hook"),
        ("recurrence.gate_conv", "forward_hook"),
        ("recurrence.input_conv.0", "forward_pre_hook"),
        ("recurrence.input_conv.2", "full_backward_hook"),
    ],
)
def test_modules_with_hooks_run(part, register):
    embedding, seen = embedding_of(config()).float(), []
    module = embedding.get_submodule(part)
    getattr(module, f"register_{register}")(lambda *_: seen.append(1) or None)
    embedding(torch.ones(1, 1, 4, 2, 4, 4)).sum().backward()
    assert seen


def test_a_convolution_of_another_kind_runs():
    embedding = embedding_of(config()).float()
    branch = embedding.recurrence.input_conv
    torch.nn.utils.parametrizations.weight_norm(branch[0])
    embedding(torch.ones(1, 1, 4, 2, 4, 4)).sum().backward()
    assert branch[0].parametrizations.weight.original0.grad is not None


def test_layouts_of_weights_and_events_do_not_matter():
    embedding, events = embedding_of(config()), events_of((2, 1, 4, 2, 8, 10))
    expected = embedding(events)
    embedding = embedding.to(memory_format=torch.channels_last)
    turned = events.transpose(-1, -2).contiguous().transpose(-1, -2)
    torch.testing.assert_close(embedding(turned), expected, rtol=0, atol=0)


def are_finite(embedding: EventEmbedding, kernels: Kernels, events: Tensor) -> dict[str, Tensor]:
    """Return where the membranes and the gradients of the weights are finite."""
    embedding = copy.deepcopy(embedding)
    use_kernels(embedding, kernels)
    membranes = torch.stack([step.membrane for step in embedding.recurrence(events)])
    membranes.sum().backward()
    found = {name: p.grad.isfinite() for name, p in embedding.named_parameters()}
    return {"membranes": membranes.isfinite(), **found}


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize(
    ("embedding", "branch"),
    [("arsnn", "input_conv"), ("arsnn", "gate_conv"), ("snn", "conv")],
)
def test_a_weight_that_is_not_finite_is_not_skipped(embedding, branch, layer, value):
    """Its products with zeros are NaN, and hide nothing here."""
    model = embedding_of(config(embedding=embedding)).double()
    events = events_of((4, 1, 2, 38, 70), rate=0.01)
    convolution = model.get_submodule(f"recurrence.{branch}.{layer}")
    with torch.no_grad():
        convolution.weight[1, 1, 0, 0] = value
    plain, native = (are_finite(model, kernels, events) for kernels in Kernels)
    assert not plain["membranes"].all()
    for name, finite in plain.items():
        assert not native[name][~finite].any(), name


@pytest.mark.parametrize("embedding", ["arsnn", "snn"])
def test_a_gradient_that_is_not_finite_is_not_skipped(embedding):
    model = embedding_of(config(embedding=embedding)).double()
    events = events_of((4, 1, 2, 38, 70), rate=0)  # no events: all of them are skipped
    found = {}
    for kernels in Kernels:
        use_kernels(model, kernels)
        steps = model.recurrence(events)
        membranes = torch.stack([step.membrane for step in steps])
        grad = torch.ones_like(membranes)
        grad[2, 0, 0, 9, 9] = torch.nan
        names, parameters = zip(*model.recurrence.named_parameters(), strict=True)
        gradients = torch.autograd.grad(membranes, parameters, grad)
        found[kernels] = dict(zip(names, gradients, strict=True))
    spoilt = 0
    for name, plain in found[Kernels.PLAIN].items():
        missing = ~plain.isfinite() & found[Kernels.NATIVE][name].isfinite()
        assert not missing.any(), name
        spoilt += int((~plain.isfinite()).sum())
    assert spoilt > 10
