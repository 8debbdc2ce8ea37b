from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from easnn.models import (
    DetectorConfig,
    IntegerLIF,
    ParametricLIF,
    SpikeMode,
    SpikingNeurons,
    build_detector,
)

TINY = DetectorConfig(
    num_classes=2,
    depth=0.33,
    width=0.125,
    use_spike=SpikeMode.FULL_V2,
    T=3,
    embedding="arsnn",
    embedding_ksize=3,
    spike_attach=True,
)
EVENTS = torch.poisson(torch.full((2, 1, 3, 2, 64, 96), 0.8), torch.Generator().manual_seed(0))
TARGETS = torch.tensor([[[1, 30.0, 30, 20, 24], [0, 70, 40, 30, 20]], [[0, 0, 0, 0, 0]] * 2])
LOSSES = ["total_loss", "iou_loss", "l1_loss", "conf_loss", "cls_loss", "num_fg"]


@pytest.mark.parametrize("stem", ["focus", "conv"])
@pytest.mark.parametrize("mode", list(SpikeMode))
def test_every_parameter_learns_in_every_mode(mode, stem):
    model = build_detector(TINY.replace(use_spike=mode, stem=stem))
    losses = model(EVENTS, TARGETS)
    assert list(losses) == LOSSES
    losses["total_loss"].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    with torch.no_grad():
        outputs = model.eval()(EVENTS)
    assert outputs.shape == (2, 8 * 12 + 4 * 6 + 2 * 3, 7)
    assert ((outputs[..., 4:] > 0) & (outputs[..., 4:] < 1)).all()


@pytest.mark.parametrize("stem", ["focus", "conv"])
def test_separable_convolutions_are_all_but_the_stem(stem):
    model = build_detector(TINY.replace(depthwise=True, stem=stem))
    large = {
        name: conv
        for name, conv in model.named_modules()
        if isinstance(conv, torch.nn.Conv2d) and conv.kernel_size != (1, 1)
    }
    whole = {name for name, conv in large.items() if conv.groups == 1}
    assert {name for name in whole if not name.startswith("embedding.")} == {
        {"focus": "backbone.stem.conv.conv", "conv": "backbone.stem.conv"}[stem]
    }
    assert all(conv.groups == conv.in_channels for name, conv in large.items() if name not in whole)
    # Two neurons where there was one: four stages with 1, 3, 3 and 1 bottlenecks, two units and
    # four bottlenecks of the pyramid, and two units in two towers at three levels.
    parts = ("backbone", "neck", "head")
    plain = build_detector(TINY.replace(stem=stem))
    added = [neurons(model, part) - neurons(plain, part) for part in parts]
    assert added == [4 + 1 + 3 + 3 + 1, 2 + 4, 12]


def neurons(model, part):
    return sum(isinstance(m, ParametricLIF) for m in getattr(model, part).modules())


def test_neurons_are_where_the_mode_says():
    parts = ("backbone", "neck", "head")
    counts = {
        mode: [neurons(build_detector(TINY.replace(use_spike=mode)), part) for part in parts]
        for mode in SpikeMode
    }
    assert [count > 0 for count in counts[SpikeMode.FULL_V2]] == [True, True, True]
    whole = counts[SpikeMode.FULL_V2]
    assert counts[SpikeMode.FULL] == [*whole[:2], 0]
    assert counts[SpikeMode.BACKBONE] == [whole[0], 0, 0]
    assert counts[SpikeMode.NONE] == [0, 0, 0]
    assert neurons(build_detector(TINY.replace(stem="conv")), "backbone") == whole[0] + 1


@pytest.mark.parametrize("spike_fn", ["atan", "sigmoid", "rect", "patan"])
def test_every_surrogate_trains(spike_fn):
    model = build_detector(TINY.replace(spike_fn=spike_fn))
    model(EVENTS, TARGETS)["total_loss"].backward()
    names = [
        name
        for name, p in model.named_parameters()
        if p.grad is None or not p.grad.isfinite().all()
    ]
    assert names == []


@pytest.mark.parametrize("changes", [{}, {"Ts": 3}, {"depthwise": True}, {"stem": "conv"}])
@pytest.mark.parametrize("mode", list(SpikeMode)[1:])
def test_integer_neurons_train_everywhere(mode, changes):
    model = build_detector(TINY.replace(use_spike=mode, neuron="ilif", **changes))
    model(EVENTS, TARGETS)["total_loss"].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    layers = [layer for layer in model.modules() if isinstance(layer, SpikingNeurons)]
    assert layers
    assert all(isinstance(layer, IntegerLIF) and layer.levels == 4 for layer in layers)


@pytest.mark.parametrize(
    "changes",
    [
        {"Ts": 3},
        {"readout": "avg", "norm": "bn", "abs": True},
        {"embedding": "rsnn", "readout": "last"},
        {"embedding": "snn"},
        {"embedding": "count", "in_channels": 4},
    ],
)
def test_every_embedding_trains(changes):
    config = TINY.replace(**changes)
    model = build_detector(config)
    events = EVENTS.repeat(1, 1, 1, config.in_channels // 2, 1, 1)
    model(events, TARGETS)["total_loss"].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("neuron", "depthwise"), [("plif", False), ("plif", True), ("ilif", False)]
)
@pytest.mark.parametrize("mode", list(SpikeMode)[1:])
def test_identical_segments_are_one_computation(mode, neuron, depthwise):
    """A frame shown for T steps gives the outputs, statistics and gradients of T equal frames."""

    class Repeated(torch.nn.Module):
        def __init__(self, embedding, Ts):
            super().__init__()
            self.embedding, self.Ts = embedding, Ts

        def forward(self, events):
            return self.embedding(events).expand(self.Ts, -1, -1, -1, -1)

    results = []
    for Ts in (1, 3):
        torch.manual_seed(1)
        config = TINY.replace(use_spike=mode, neuron=neuron, depthwise=depthwise, Ts=Ts)
        model = build_detector(config).double()
        model.embedding.rules = replace(model.embedding.rules, Ts=1)
        model.embedding = Repeated(model.embedding, Ts)
        losses = model(EVENTS.double(), TARGETS.double())
        losses["total_loss"].backward()
        gradients = {name: p.grad for name, p in model.named_parameters()}
        results.append((losses, gradients, dict(model.named_buffers())))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


def test_keeps_no_state_between_calls():
    model = build_detector(TINY).eval()
    with torch.no_grad():
        first, alone = model(EVENTS), model(EVENTS[:1])
        torch.testing.assert_close(first, model(EVENTS), rtol=0, atol=0)
    torch.testing.assert_close(first[:1], alone)


def test_a_copy_learns_on_its_own():
    model = build_detector(TINY)
    twin = copy.deepcopy(model)
    twin.load_state_dict(model.state_dict())
    twin(EVENTS, TARGETS)["total_loss"].backward()
    assert all(p.grad is None for p in model.parameters())


def test_mixed_precision_ends_in_float32():
    model = build_detector(TINY)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model(EVENTS, TARGETS)
        outputs = model.eval()(EVENTS)
    losses["total_loss"].backward()
    assert losses["total_loss"].dtype is outputs.dtype is torch.float32
    assert outputs.isfinite().all()


def test_untrained_head_expects_almost_nothing():
    outputs = build_detector(TINY).eval()(torch.zeros(1, 1, 3, 2, 32, 32))
    torch.testing.assert_close(outputs[..., 4:].mean().item(), 0.01, rtol=0.5, atol=0)


@pytest.mark.parametrize("shape", [(2, 3, 2, 64, 96), (2, 1, 3, 3, 64, 96), (2, 1, 3, 2, 64, 100)])
def test_events_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="events") as error:
        build_detector(TINY)(torch.zeros(shape))
    assert str(error.value) == (
        f"`events` must be [B, Tl, Tm, 2, H, W] with H and W multiples of 32, but is {list(shape)}."
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Ts": 3},
        {"embedding": "rsnn"},
        {"embedding": "snn", "norm": "bn"},
        {"embedding": "count"},
    ],
)
def test_detections_from_the_output_of_the_embedding(changes):
    model = build_detector(TINY.replace(**changes)).eval()
    with torch.no_grad():
        expected, losses = model(EVENTS), model(EVENTS, TARGETS)
        frames, trace = model.embedding(EVENTS), model.embedding.trace(EVENTS)
        assert torch.equal(model.detect(frames), expected)
        assert model.detect(frames, TARGETS) == losses
        if trace is not None:
            assert torch.equal(model.detect(trace.output), expected)
    assert (trace is None) == (changes.get("embedding") == "count")


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 2, 64, 96), (2, 64, 96), (2, 3, 64, 96), (1, 2, 2, 64, 100)]
)
def test_frames_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="frames") as error:
        build_detector(TINY).detect(torch.zeros(shape))
    assert str(error.value) == (
        "`frames` must be [Ts, B, 2, H, W] or [B, 2, H, W] with H and W multiples of 32, but is "
        f"{list(shape)}."
    )


def test_compiles_into_one_graph():
    """No Python value depends on a tensor: nothing would make a GPU wait for its host."""
    model = build_detector(TINY)
    expected = model(EVENTS, TARGETS)["total_loss"]
    compiled = torch.compile(copy.deepcopy(model), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(EVENTS, TARGETS)["total_loss"], expected)
