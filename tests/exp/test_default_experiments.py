"""The experiments that come with the project."""

from __future__ import annotations

import pytest
import torch
from experiments import set_keys

from easnn.exp import get_exp

SIZES = ("nano", "tiny", "s", "m", "l")
PARAMETERS = {"nano": 0.91, "tiny": 5.06, "s": 8.97, "m": 25.3, "l": 54.2}
"""Millions, as YOLOX publishes them for colour images and 80 classes."""


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_those_of_yolox(size: str) -> None:
    exp = get_exp(exp_name=f"e-yolox-{size}")
    set_keys(exp, "num_classes 80")
    with torch.device("meta"):
        model = exp.get_model()
    two_channels = sum(p.numel() for p in model.parameters())
    third_channel = 4 * 9 * int(64 * exp.width)
    assert (two_channels + third_channel) / 1e6 == pytest.approx(PARAMETERS[size], rel=6e-3)


@pytest.mark.parametrize("embedding", ["count", "snn", "rsnn", "arsnn"])
@pytest.mark.parametrize("name", ["e-yolox-nano", "e-yolox-tiny", "e-yolox-l"])
def test_a_detector_that_does_not_spike_trains_with_every_embedding(
    name: str, embedding: str
) -> None:
    torch.manual_seed(0)
    exp = get_exp(exp_name=name)
    set_keys(
        exp,
        f"use_spike False embedding {embedding} num_classes 2 Tm 3 embedding_ksize 3 spike_attach "
        "True",
    )
    if name == "e-yolox-l":
        set_keys(exp, "width 0.125")  # the depth is what is particular about it
    exp.validate()
    model = exp.get_model()
    optimizer = exp.get_optimizer(model, batch_size=2)
    before = {key: value.clone() for key, value in model.named_parameters()}
    events = torch.poisson(torch.ones(2, 1, 3, 2, 32, 64))
    targets = torch.tensor([[[1.0, 30, 16, 20, 18]], [[0.0, 40, 12, 30, 20]]])
    losses = model(events, targets)
    losses["total_loss"].backward()
    optimizer.step()
    assert losses["total_loss"].isfinite()
    still = {key for key, value in model.named_parameters() if torch.equal(value, before[key])}
    # A level of the head at which no box was assigned learns from its objectness alone.
    assert not {key for key in still if not key.startswith("head.") and not key.endswith("bias")}


@pytest.mark.parametrize(("name", "millions"), [("mds", 15.95), ("meta", 21.96)])
def test_sizes_of_the_backbones_with_membrane_shortcuts(name: str, millions: float) -> None:
    exp = get_exp(exp_name=f"e-yolox-{name}")
    set_keys(exp, "num_classes 2")
    with torch.device("meta"):
        model = exp.get_model()
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("mode", ["True", "full_spike", "full_spike_v2"])
@pytest.mark.parametrize("name", ["mds", "meta"])
def test_backbones_with_membrane_shortcuts_detect_in_every_mode(name: str, mode: str) -> None:
    exp = get_exp(exp_name=f"e-yolox-{name}")
    set_keys(exp, f"use_spike {mode} T 2 Ts 2 embedding arsnn num_classes 2 width 0.125")
    exp.validate()
    model = exp.get_model().eval()
    events = torch.poisson(torch.ones(2, 1, 4, 2, 32, 64))
    with torch.inference_mode():
        assert model(events).shape == (2, 4 * 8 + 2 * 4 + 1 * 2, 5 + 2)


@pytest.mark.parametrize("mode", ["True", "full_spike", "full_spike_v2"])
def test_nano_may_spike(mode: str) -> None:
    exp = get_exp(exp_name="e-yolox-nano")
    set_keys(exp, f"use_spike {mode} T 2 Ts 2 embedding arsnn num_classes 2 width 0.125 stem conv")
    model = exp.get_model().eval()
    events = torch.poisson(torch.ones(2, 1, 4, 2, 32, 64))
    with torch.inference_mode():
        assert model(events).shape == (2, 4 * 8 + 2 * 4 + 1 * 2, 5 + 2)


@pytest.mark.parametrize("size", ["s", "m"])
def test_a_memory_is_added_to_the_detector_of_the_same_size(size: str) -> None:
    plain, exp = get_exp(exp_name=f"e-yolox-{size}"), get_exp(exp_name=f"e-yolox-{size}-memory")
    exp.validate()
    changed = {
        name: getattr(exp, name)
        for name in exp.declarations()
        if getattr(exp, name) != getattr(plain, name) and name != "exp_name"
    }
    assert changed == {"memory": "lstm", "clip": 10, "clip_grad": 5.0}
