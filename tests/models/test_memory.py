"""Memory between pyramid and head: its cells against loops over pixels, and what clips mean."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch.nn.functional import pad

from easnn.models import DetectorConfig, SpikeMode, build_detector
from easnn.models.memory import Clips, MemoryLevel
from easnn.utils.errors import ConfigError

KINDS = ["lstm", "spiking"]
TINY = DetectorConfig(
    num_classes=2, depth=0.33, width=0.125, use_spike=SpikeMode.BACKBONE, T=2, memory_dim=6
)
TARGETS = torch.tensor([[[1, 30.0, 30, 20, 24], [0, 20, 40, 30, 20]]])


def events(windows):
    return torch.poisson(
        torch.full((windows, 1, 3, 2, 64, 64), 0.8), torch.Generator().manual_seed(0)
    )


def awake(model):
    """Let the memory have an effect, where α is 0 and an untrained norm hardly charges neurons."""
    for name, parameter in model.named_parameters():
        if name.endswith("alpha"):
            torch.nn.init.constant_(parameter, 0.7)
        if name.endswith("peepholes"):
            torch.nn.init.normal_(parameter)
        if name.endswith("down.bn.bias"):
            torch.nn.init.uniform_(parameter, 0.3, 0.9)
    return model


def remembering(kind, **changes):
    return awake(build_detector(TINY.replace(memory=kind, **changes)))


# One level, pixel by pixel in float64, with the gradients of torch's scalars.


def conv_at(x, weight, y, column, bias=None):
    """Return a convolution of ``x`` [C, h, w] with zero padding at one position."""
    reach = weight.shape[-1] // 2
    patch = pad(x, [reach] * 4)[:, y : y + 2 * reach + 1, column : column + 2 * reach + 1]
    out = torch.stack([(kernel * patch).sum() for kernel in weight])
    return out if bias is None else out + bias


def literal_lstm(cell, x, h, c, y, column):
    gates = conv_at(x, cell.input_gates.weight, y, column, cell.input_gates.bias)
    gates = gates + conv_at(h, cell.state_gates.weight, y, column)
    dim = len(c)
    p = cell.peepholes
    new_c, new_h = [], []
    for m in range(dim):
        before = c[m, y, column]
        i = 1 / (1 + torch.exp(-(gates[m] + p[m] * before)))
        f = 1 / (1 + torch.exp(-(gates[dim + m] + p[dim + m] * before)))
        after = f * before + i * torch.tanh(gates[2 * dim + m])
        o = 1 / (1 + torch.exp(-(gates[3 * dim + m] + p[2 * dim + m] * after)))
        new_c.append(after)
        new_h.append(o * torch.tanh(after))
    return torch.stack(new_h), torch.stack(new_c)


def literal_spiking(neurons, x, v):
    leak = 1 / (1 + torch.exp(-neurons.w))
    charged = v - leak * v + x
    smooth = torch.atan(math.pi / 2 * 2 * (charged - 1)) / math.pi
    spikes = (charged >= 1).double() + smooth - smooth.detach()
    return spikes, charged - spikes


def literal_level(level, features, begins):
    """Map features [L, C, h, w] of one clip, window by window and pixel by pixel."""
    positions = list(torch.cartesian_prod(*map(torch.arange, features.shape[-2:])))
    size = features.shape[-2:]
    dim = level.up.weight.shape[1]
    h = c = v = torch.zeros(dim, *size, dtype=torch.float64)
    out = []

    def image(columns):
        return torch.stack(columns, dim=1).unflatten(1, size)

    for x, begin in zip(features, begins, strict=True):
        if begin:
            h = c = v = torch.zeros(dim, *size, dtype=torch.float64)
        cell = level.cell
        if hasattr(cell, "peepholes"):
            x_in = image([conv_at(x, cell.down.weight, *at) for at in positions])
            pairs = [literal_lstm(cell, x_in, h, c, *at) for at in positions]
            h, c = image([a for a, _ in pairs]), image([b for _, b in pairs])
            remembered = h
        else:
            norm, conv = cell.down.bn, cell.down.conv  # in evaluation mode
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            x_in = [
                (conv_at(x, conv.weight, *at) - norm.running_mean) * scale + norm.bias
                for at in positions
            ]
            pairs = [
                literal_spiking(cell.neurons, current, v[:, at[0], at[1]])
                for current, at in zip(x_in, positions, strict=True)
            ]
            remembered, v = image([a for a, _ in pairs]), image([b for _, b in pairs])
        up = image([conv_at(remembered, level.up.weight, *at) for at in positions])
        out.append(x + level.alpha * up)
    return torch.stack(out)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_level_equals_a_loop_over_pixels_with_its_gradients(kind, kernel):
    config = TINY.replace(memory=kind, memory_dim=3, memory_kernel=kernel)
    level = awake(MemoryLevel(4, config).double().eval())
    if kind == "spiking":
        torch.nn.init.uniform_(level.cell.down.bn.running_var, 0.02, 0.1)
    random = torch.Generator().manual_seed(1)
    clips, length = 2, 4
    features = torch.randn(clips, length, 4, 3, 2, generator=random, dtype=torch.float64)
    begins = torch.tensor([[False] * 4, [False, False, True, False]])
    given = [torch.randn_like(features[0]) for _ in range(clips)]

    def gradients(outputs, inputs):
        loss = sum((a * b).sum() for a, b in zip(outputs, given, strict=True))
        return torch.autograd.grad(loss, [inputs, *level.parameters()])

    inputs = features.clone().requires_grad_()
    found, _ = level(inputs.flatten(0, 1), None, Clips(clips, begins=begins))
    found = found.unflatten(0, (clips, length))
    same = features.clone().requires_grad_()
    expected = [literal_level(level, x, b) for x, b in zip(same, begins, strict=True)]
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-12)
    if kind == "spiking":  # the test would hold without a spike
        assert (found != features).any() and (found == features).any()
    for a, b in zip(gradients(found, inputs), gradients(expected, same), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", [SpikeMode.NONE, SpikeMode.BACKBONE, SpikeMode.FULL])
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_memory_adds_nothing_to_the_detector_of_the_same_seed(kind, mode):
    torch.manual_seed(0)
    plain = build_detector(TINY.replace(use_spike=mode)).eval()
    torch.manual_seed(0)
    model = build_detector(TINY.replace(use_spike=mode, memory=kind)).eval()
    with torch.no_grad():
        expected = plain(events(2))
        assert torch.equal(model(events(2)), expected)
        frames = model.embedding(events(2))
        outputs, state = model.detect_next(frames, None)
        assert torch.equal(outputs, expected)
        outputs, _ = model.detect_next(frames, state)
        assert torch.equal(outputs, expected)
        outputs, state = plain.detect_next(frames, None)
        assert torch.equal(outputs, expected) and state is None


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_remembered_changes_the_output(kind):
    model = remembering(kind).double().eval()
    window = model.embedding(events(1).double())
    with torch.no_grad():
        alone, state = model.detect_next(window, None)
        assert torch.equal(alone, model.detect(window))
        later, _ = model.detect_next(window, state)
        zeroed, _ = model.detect_next(window, tuple(torch.zeros_like(s) for s in state))
        for level in range(3):  # each of them has an effect
            forgotten = [*state]
            forgotten[level] = torch.zeros_like(state[level])
            assert not torch.equal(model.detect_next(window, tuple(forgotten))[0], later)
    assert torch.equal(zeroed, alone)
    assert not torch.equal(later, alone)


@pytest.mark.parametrize("kind", KINDS)
def test_clips_at_once_equal_their_windows_one_by_one(kind):
    clips, length = 2, 3
    model = remembering(kind).double().eval()
    frames = model.embedding(events(clips * length).double()).unflatten(0, (clips, length))
    begins = torch.tensor([[True, False, False], [False, False, True]])
    with torch.no_grad():
        _, before = model.detect_next(frames[:, 0], None)
        expected, state = [], before
        for window in range(length):
            state = tuple(s * ~begins[:, window].view(-1, 1, 1, 1) for s in state)
            outputs, state = model.detect_next(frames[:, window], state)
            expected.append(outputs)
        together = Clips(clips, before, begins)
        found, after = model.detect_clips(frames.flatten(0, 1), together)
        torch.testing.assert_close(found, torch.stack(expected, 1).flatten(0, 1))
        torch.testing.assert_close(after, state)
        # The head sees the labelled windows only.
        labelled = torch.tensor([1, 5])
        some, same = model.detect_clips(
            frames.flatten(0, 1), Clips(clips, before, begins, labelled)
        )
        torch.testing.assert_close(some, found[labelled])
        torch.testing.assert_close(same, after)


@pytest.mark.parametrize("mode", list(SpikeMode))
def test_without_memory_the_windows_of_a_clip_are_alone(mode):
    model = build_detector(TINY.replace(use_spike=mode)).double().eval()
    labelled = torch.tensor([0, 2])
    with torch.no_grad():
        outputs, state = model(events(4).double(), clips=Clips(2, labelled=labelled))
        torch.testing.assert_close(outputs, model(events(4).double())[labelled])
    assert state is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_every_parameter_gets_a_gradient_from_labelled_windows(kind, weight):
    model = remembering(kind)
    targets = TARGETS if weight else torch.zeros(1, 1, 5)
    clips = Clips(2, labelled=torch.tensor([3]), weight=weight)
    losses, state = model(events(4), targets, clips)
    losses["total_loss"].backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    assert all(g.any() == bool(weight) for n, g in gradients.items() if n.startswith("memory"))
    assert [s.requires_grad for s in state] == [False] * 3
    assert [tuple(s.shape) for s in state] == [
        (2, 12 if kind == "lstm" else 6, side, side) for side in (8, 4, 2)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_float32_in_mixed_precision(kind):
    model = remembering(kind).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        outputs, state = model.detect_next(model.embedding(events(1)), None)
        later, state = model.detect_next(model.embedding(events(1)), state)
    assert {outputs.dtype, later.dtype, *(s.dtype for s in state)} == {torch.float32}
    level = model.memory.levels[0]
    features = torch.rand(1, 32, 8, 8, dtype=torch.bfloat16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        out, _ = level(features, None, Clips(1))
    assert out.dtype is torch.bfloat16


def test_a_head_that_spikes_has_no_memory():
    message = (
        "`memory` must be none for `use_spike` full_spike_v2, whose features before the head are "
        "spikes of `T` time steps and not yet averaged over them, but is lstm. Use full_spike."
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        TINY.replace(use_spike=SpikeMode.FULL_V2, memory="lstm")


def test_the_size_of_the_memory_of_a_small_detector():
    config = DetectorConfig(width=0.5, depth=0.33, memory="lstm")
    memory = build_detector(config).memory
    assert sum(p.numel() for p in memory.parameters()) == 2 * 64 * 896 + 3 * (
        2 * 64 * 256 + 256 + 3 * 64 + 1
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"residual": "membrane"},
        {"backbone": "mds", "residual": "membrane"},
        {"backbone": "meta", "residual": "membrane"},
        {"neuron": "ilif", "T": 1},
    ],
)
def test_other_backbones_and_neurons_have_a_memory(changes):
    model = remembering("spiking", **{"use_spike": SpikeMode.FULL, **changes}).eval()
    with torch.no_grad():
        frames = model.embedding(events(1))
        alone, state = model.detect_next(frames, None)
        later, _ = model.detect_next(frames, state)
    assert not torch.equal(alone, later)
