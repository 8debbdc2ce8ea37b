"""Activation checkpointing: a training step has the same results to the bit, and keeps less."""

from __future__ import annotations

import copy

import pytest
import torch
from lively import TINY, event_counts
from torch import Tensor, nn

from easnn.engine.step import train_mode
from easnn.kernels import Kernels, use_kernels
from easnn.kernels.choice import native_library
from easnn.models import DetectorConfig, EventDetector, SpikeMode, build_detector

HW = (64, 64)
TARGETS = torch.tensor([[[1, 30.0, 30, 20, 24], [0, 40, 40, 30, 20]], [[0, 0, 0, 0, 0]] * 2])
KERNELS = [
    Kernels.PLAIN,
    pytest.param(
        Kernels.NATIVE,
        marks=pytest.mark.skipif(native_library() is None, reason="no native kernels here"),
    ),
]


def pair(
    config: DetectorConfig, kernels: Kernels, dtype: torch.dtype
) -> tuple[EventDetector, EventDetector]:
    """Return two detectors of the same weights, without and with activation checkpointing."""
    torch.manual_seed(0)
    keeping = build_detector(config).to(dtype)
    for norm in (layer for layer in keeping.modules() if isinstance(layer, nn.BatchNorm2d)):
        nn.init.normal_(norm.weight, 1.5, 0.2)
        nn.init.normal_(norm.bias, 0.5, 0.2)
    recomputing = build_detector(config.replace(activation_checkpointing=True)).to(dtype)
    recomputing.load_state_dict(copy.deepcopy(keeping.state_dict()))
    for model in (keeping, recomputing):
        use_kernels(model, kernels)
    return keeping, recomputing


def two_steps(
    model: EventDetector, dtype: torch.dtype, *, freeze_bn: bool = False, mixed: bool = False
) -> tuple[dict[str, Tensor], bool]:
    """Return what two steps compute and leave, and whether the last stage gets gradients."""
    events, targets = event_counts(frames=2, hw=HW).to(dtype), TARGETS.to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    train_mode(model, freeze_bn=freeze_bn)
    found: dict[str, Tensor] = {}
    for step in range(2):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            losses = model(events, targets)
        losses["total_loss"].backward()
        optimizer.step()
        found |= {f"{step} {name}": loss.detach() for name, loss in losses.items()}
        for name, weight in model.named_parameters():
            assert weight.grad is not None
            found[f"{step} grad of {name}"] = weight.grad.clone()
    found |= {name: value.clone() for name, value in model.state_dict().items()}
    stages = [value for name, value in found.items() if name.startswith("1 grad of backbone.dark5")]
    return found, all(bool(value.any()) for value in stages)


def assert_equal_steps(
    config: DetectorConfig, kernels: Kernels, dtype: torch.dtype, **options: bool
) -> None:
    (expected, lively), (found, _) = (
        two_steps(model, dtype, **options) for model in pair(config, kernels, dtype)
    )
    assert lively
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode", list(SpikeMode))
def test_steps_are_equal_in_every_mode(
    mode: SpikeMode, dtype: torch.dtype, kernels: Kernels
) -> None:
    assert_equal_steps(TINY.replace(use_spike=mode), kernels, dtype)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, {"freeze_bn": True}),
        ({}, {"mixed": True}),
        ({"Ts": 3}, {}),
        ({"stem": "conv"}, {}),
        ({"depthwise": True, "spike_fn": "patan"}, {}),
    ],
    ids=["freeze_bn", "mixed", "Ts", "conv", "depthwise"],
)
def test_steps_are_equal_with_other_settings(
    changes: dict[str, object], options: dict[str, bool], kernels: Kernels
) -> None:
    assert_equal_steps(TINY.replace(**changes), kernels, torch.float32, **options)


@pytest.mark.parametrize("kernels", KERNELS)
def test_less_is_kept(kernels: Kernels) -> None:
    """What operations in layers that are computed again save is dropped, so it is not counted."""
    sizes = []
    for model in pair(TINY, kernels, torch.float32):
        saved: dict[int, Tensor] = {}

        def keep(value: Tensor, saved: dict[int, Tensor] = saved) -> Tensor:
            saved[value.data_ptr()] = value
            return value

        train_mode(model, freeze_bn=False)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            model.neck(model.backbone(torch.rand(2, 2, *HW)))
        sizes.append(sum(value.nbytes for value in saved.values()))
    assert sizes[1] < 0.5 * sizes[0]


def test_evaluation_computes_nothing_again() -> None:
    events = event_counts(hw=HW)
    calls = []
    outputs = []
    for model in pair(TINY, Kernels.PLAIN, torch.float32):
        seen: list[int] = []
        model.backbone.dark3.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        out = model.eval()(events.requires_grad_())
        out.sum().backward()
        outputs.append(out.detach())
        calls.append(len(seen))
    assert torch.equal(*outputs)
    assert calls == [1, 1]


def test_the_key_changes_no_weight() -> None:
    keeping, recomputing = pair(TINY, Kernels.PLAIN, torch.float32)
    assert list(keeping.state_dict()) == list(recomputing.state_dict())
