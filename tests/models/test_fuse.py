from __future__ import annotations

import copy

import pytest
import torch
from lively import TINY, event_counts, lively_detector
from torch import nn

from easnn.models import SpikeMode, build_detector, fuse
from easnn.models.blocks import ConvUnit

EVENTS = event_counts(frames=2).double()


@pytest.mark.parametrize(
    ("mode", "stem", "Ts", "residual"),
    [(mode, stem, 1, "spikes") for mode in SpikeMode for stem in ("focus", "conv")]
    + [(SpikeMode.FULL, "conv", 3, "spikes"), (SpikeMode.FULL, "focus", 3, "membrane")],
)
def test_fused_outputs_are_those_of_the_model(
    mode: SpikeMode, stem: str, Ts: int, residual: str
) -> None:
    config = TINY.replace(use_spike=mode, stem=stem, norm="bn", Ts=Ts, residual=residual)
    model = lively_detector(config, EVENTS)
    fused = fuse(model)
    with torch.no_grad():
        expected = model(EVENTS)
        assert expected.std(dim=1).min() > 1e-4  # what is in the image does matter
        torch.testing.assert_close(fused(EVENTS), expected, rtol=1e-10, atol=1e-10)
    assert not any(
        isinstance(u.bn, nn.BatchNorm2d) for u in fused.modules() if isinstance(u, ConvUnit)
    )
    assert isinstance(fused.embedding.norm, nn.BatchNorm2d)


def test_the_model_stays_as_it_is() -> None:
    model = lively_detector(TINY, EVENTS).train()
    before = copy.deepcopy(model.state_dict())
    fused = fuse(model)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert model.training
    assert not fused.training


def test_fusing_twice_is_fusing_once() -> None:
    fused = fuse(lively_detector(TINY, EVENTS))
    torch.testing.assert_close(fuse(fused).state_dict(), fused.state_dict(), rtol=0, atol=0)


def test_a_fused_kernel_is_counted_by_hand() -> None:
    """γ/√(σ² + ε) = 3/√(4 − 0.001 + 0.001) = 1.5; the bias is 1 + 1.5·(0 − 2)."""
    model = build_detector(TINY.replace(use_spike=SpikeMode.NONE))
    unit = model.backbone.dark2[0]
    for value, tensor in ((3, unit.bn.weight), (1, unit.bn.bias), (2, unit.bn.running_mean)):
        nn.init.constant_(tensor, value)
    nn.init.constant_(unit.bn.running_var, 4 - 1e-3)
    conv = fuse(model).backbone.dark2[0].conv
    torch.testing.assert_close(conv.weight, 1.5 * unit.conv.weight)
    torch.testing.assert_close(conv.bias, torch.full_like(conv.bias, -2))
