from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from easnn.models import DetectorConfig, EmbeddingConfig, SpikeMode, build_detector, fuse
from easnn.models.blocks import ConvUnit

SAMPLER = EmbeddingConfig(kind="arsnn", depth=2, kernel_size=3, Tm=3, spike_attach=True, norm="bn")
TINY = DetectorConfig(
    num_classes=2, depth=0.33, width=0.125, spike_mode=SpikeMode.FULL_V2, T=3, embedding=SAMPLER
)
EVENTS = torch.poisson(torch.full((2, 1, 3, 2, 32, 64), 0.8), torch.Generator().manual_seed(0)).double()


def lively_detector(config: DetectorConfig) -> nn.Module:
    """Build a detector in float64 whose norms have seen data: without, hardly a neuron fires."""
    torch.manual_seed(0)
    model = build_detector(config).double()
    for norm in (layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)):
        nn.init.normal_(norm.weight, 1.5, 0.2)
        nn.init.normal_(norm.bias, 0.5, 0.2)
        norm.momentum = 0.5
    with torch.no_grad():
        for _ in range(4):
            model(EVENTS, torch.zeros(2, 1, 5, dtype=torch.float64))
    return model.eval()


@pytest.mark.parametrize(
    ("mode", "stem", "Ts"),
    [(mode, stem, 1) for mode in SpikeMode for stem in ("focus", "conv")] + [(SpikeMode.FULL, "conv", 3)],
)
def test_fused_outputs_are_those_of_the_model(mode: SpikeMode, stem: str, Ts: int) -> None:
    config = replace(TINY, spike_mode=mode, stem=stem, embedding=replace(SAMPLER, Ts=Ts))
    model = lively_detector(config)
    fused = fuse(model)
    with torch.no_grad():
        expected = model(EVENTS)
        assert expected.std(dim=1).min() > 1e-4  # what is in the image does matter
        torch.testing.assert_close(fused(EVENTS), expected, rtol=1e-10, atol=1e-10)
    assert not any(isinstance(u.bn, nn.BatchNorm2d) for u in fused.modules() if isinstance(u, ConvUnit))
    assert isinstance(fused.embedding.norm, nn.BatchNorm2d)


def test_the_model_stays_as_it_is() -> None:
    model = lively_detector(TINY).train()
    before = copy.deepcopy(model.state_dict())
    fused = fuse(model)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert model.training
    assert not fused.training


def test_fusing_twice_is_fusing_once() -> None:
    fused = fuse(lively_detector(TINY))
    torch.testing.assert_close(fuse(fused).state_dict(), fused.state_dict(), rtol=0, atol=0)


def test_a_fused_kernel_is_counted_by_hand() -> None:
    """γ/√(σ² + ε) = 3/√(4 − 0.001 + 0.001) = 1.5; the bias is 1 + 1.5·(0 − 2)."""
    model = build_detector(replace(TINY, spike_mode=SpikeMode.NONE))
    unit = model.backbone.dark2[0]
    for value, tensor in ((3, unit.bn.weight), (1, unit.bn.bias), (2, unit.bn.running_mean)):
        nn.init.constant_(tensor, value)
    nn.init.constant_(unit.bn.running_var, 4 - 1e-3)
    conv = fuse(model).backbone.dark2[0].conv
    torch.testing.assert_close(conv.weight, 1.5 * unit.conv.weight)
    torch.testing.assert_close(conv.bias, torch.full_like(conv.bias, -2))
