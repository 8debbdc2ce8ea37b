"""The published formulation of the network computes what ours does."""

from __future__ import annotations

import itertools

import pytest
import torch
from lively import TINY, event_counts, lively_detector
from torch import nn

from easnn.benchmark.reference import (
    PublishedDetector,
    PublishedSampler,
    PublishedStep,
    published_losses,
)
from easnn.engine.ema import ModelEma
from easnn.engine.step import TrainingStep
from easnn.kernels import Kernels
from easnn.models import ParametricLIF, SpikeMode
from easnn.models.anchors import AnchorGrid
from easnn.models.embedding import AdaptiveSampling
from easnn.models.losses import detection_losses
from easnn.models.norm import RepeatedBatchNorm2d
from easnn.optim import build_optimizer
from easnn.utils.precision import Precision

TARGETS = torch.tensor(
    [[[0, 20, 14, 18, 12], [1, 40, 20, 10, 22]], [[1, 30, 16, 30, 20], [0, 0, 0, 0, 0]]],
    dtype=torch.float64,
)


def close(found: object, expected: object) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("act", ["relu", "lif"])
@pytest.mark.parametrize("readout", ["sum", "last", "avg"])
@pytest.mark.parametrize(
    ("Ts", "spike_attach", "write_zero", "reset"),
    [(1, True, True, 0.0), (3, True, False, None), (2, False, False, 0.2)],
)
def test_segments_and_their_gradients(act, readout, Ts, spike_attach, write_zero, reset):
    config = TINY.replace(
        embedding_act=act,
        readout=readout,
        Ts=Ts,
        T=Ts,
        spike_attach=spike_attach,
        write_zero=write_zero,
        reset=reset,
        thresh=0.3,
    )
    torch.manual_seed(1)
    ours = AdaptiveSampling(config).double()
    theirs = PublishedSampler(ours)
    events = event_counts(frames=2, slices=5).double()
    segments, expected = theirs(events), ours(events)
    assert 0.05 < (expected != 0).double().mean() < 1
    close(segments, expected)
    weights = torch.rand(expected.shape, generator=torch.Generator().manual_seed(2)).double()
    for output in (segments, expected):
        (output * weights).sum().backward()
    found = gradients(theirs)
    assert found.keys() == gradients(ours).keys()
    assert all(gradient.abs().max() > 0 for gradient in found.values())
    close(found, gradients(ours))


@pytest.mark.parametrize("mode", SpikeMode)
def test_detections_losses_gradients_and_statistics(mode):
    events = event_counts(frames=2).double()
    ours = lively_detector(TINY.replace(use_spike=mode), events)
    theirs = PublishedDetector(ours)
    assert theirs.network.state_dict().keys() == ours.state_dict().keys()
    with torch.no_grad():
        close(theirs(events), ours(events))

    losses, expected = theirs.train()(events, TARGETS), ours.train()(events, TARGETS)
    assert expected["num_fg"] >= 1
    close(losses, expected)
    for each in (losses, expected):
        each["total_loss"].backward()
    assert gradients(theirs.network).keys() == gradients(ours).keys()
    close(gradients(theirs.network), gradients(ours))
    close(theirs.network.state_dict(), ours.state_dict())  # includes running statistics


@pytest.mark.parametrize(
    "changes",
    [
        {"Ts": 3},
        {"stem": "conv"},
        {"embedding": "count"},
        {"embedding": "rsnn"},
        {"residual": "membrane"},
        {"residual": "membrane", "backbone": "mds"},
        {"residual": "membrane", "backbone": "meta", "use_spike": SpikeMode.FULL},
        {"spike_fn": "patan", "use_spike": SpikeMode.BACKBONE},
    ],
    ids=str,
)
def test_other_networks(changes):
    events = event_counts(frames=2, slices=4).double()
    ours = lively_detector(TINY.replace(**changes), events)
    theirs = PublishedDetector(ours)
    with torch.no_grad():
        close(theirs(events), ours(events))
    close(theirs.train()(events, TARGETS), ours.train()(events, TARGETS))


def test_it_computes_every_time_step_from_the_stem_on_in_nchw():
    events = event_counts(frames=2).double()
    theirs = PublishedDetector(lively_detector(TINY, events))
    seen = []
    theirs.network.backbone.stem.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    theirs(events)
    assert [x.shape[0] for x in seen] == [TINY.T * 2]
    assert all(p.is_contiguous() for p in theirs.parameters())


def test_the_original_is_not_changed():
    events = event_counts(frames=2).double()
    ours = lively_detector(TINY, events)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    theirs = PublishedDetector(ours).train()
    theirs(events, TARGETS)["total_loss"].backward()
    close(dict(ours.state_dict()), before)
    assert gradients(ours) == {}


@pytest.mark.parametrize("classes", [1, 5])
def test_assignment_of_many_boxes_and_of_none(classes):
    rng = torch.Generator().manual_seed(classes)
    grid = AnchorGrid.of([torch.zeros(1, 1, 128 // s, 160 // s) for s in (8, 16, 32)], torch.double)
    raw = torch.randn(3, len(grid.points_px), 5 + classes, generator=rng).double()
    targets = torch.zeros(3, 30, 5).double()
    targets[:2, :, 0] = torch.randint(classes, (2, 30), generator=rng).double()
    targets[:2, :, 1:] = torch.rand(2, 30, 4, generator=rng).double() * 100 + 10
    targets[1, 3:] = 0
    each = []
    for losses_of in (published_losses, detection_losses):
        leaf = raw.clone().requires_grad_()
        losses = losses_of(leaf, targets, grid)
        losses["total_loss"].backward()
        each.append((losses, leaf.grad))
    (found, grad), (expected, expected_grad) = each
    close(found, expected)
    close(grad, expected_grad)


def test_two_steps_with_optimizer_and_moving_average():
    events = event_counts(frames=2).double()
    ours = lively_detector(TINY, events).train()
    theirs = PublishedDetector(ours).train()
    precision = Precision(torch.device("cpu"), "exact")
    published = PublishedStep(theirs, 1e-3, precision)
    step = TrainingStep(ours, build_optimizer(ours, name="ADAM", lr=1e-3), precision)
    ema = ModelEma(ours)
    for _ in range(2):
        losses = published(events, TARGETS)
        assert losses == pytest.approx(step(events, TARGETS).losses, rel=1e-6)
        ema.update(ours)
    for found, expected in ((theirs, ours), (published.ema.model, ema.model)):
        pairs = itertools.zip_longest(
            found.network.state_dict().items(), expected.state_dict().items()
        )
        for (name, value), (expected_name, wanted) in pairs:
            assert name == expected_name
            torch.testing.assert_close(value, wanted, rtol=1e-6, atol=1e-8, msg=name)


@pytest.mark.parametrize("Ts", [1, 3])
def test_integer_neurons_are_no_part_of_the_published_formulation(Ts):
    events = event_counts(frames=2).double()
    ours = lively_detector(TINY.replace(neuron="ilif", Ts=Ts), events)
    with torch.no_grad():
        close(PublishedDetector(ours).eval()(events), ours(events))


@pytest.mark.parametrize("mode", SpikeMode)
def test_the_published_detector_has_no_short_cuts(mode):
    config = TINY.replace(use_spike=mode, activation_checkpointing=True)
    ours = lively_detector(config, event_counts(frames=1).double())
    for part in ours.modules():
        if hasattr(part, "kernels"):
            part.kernels = Kernels.NATIVE
    theirs = PublishedDetector(ours)
    parts = [part for part in theirs.modules() if isinstance(getattr(part, "kernels", 0), Kernels)]
    assert parts
    assert {part.kernels for part in parts} == {Kernels.PLAIN}
    for flag in ("spikes_in", "recomputed"):
        assert not any(getattr(part, flag, False) for part in theirs.modules())
    assert not any(
        isinstance(part, ParametricLIF | RepeatedBatchNorm2d) for part in theirs.modules()
    )
    kernels = {part.kernels for part in ours.modules() if hasattr(part, "kernels")}
    assert kernels == {Kernels.NATIVE}  # ours is not changed
