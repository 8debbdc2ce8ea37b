from __future__ import annotations

import pytest
import torch

from easnn.models import DetectorConfig, SpikeMode, build_detector
from easnn.optim.optimizer import build_optimizer, group_parameters, set_learning_rate


@pytest.fixture(scope="module")
def detector():
    config = DetectorConfig(
        num_classes=2,
        depth=0.33,
        width=0.125,
        use_spike=SpikeMode.FULL_V2,
        spike_fn="patan",
        T=2,
        embedding="arsnn",
        embedding_depth=2,
        norm="bn",
    )
    return build_detector(config)


def test_every_parameter_is_in_exactly_one_group(detector):
    grouped = [p for parameters in group_parameters(detector).values() for p in parameters]
    assert len(grouped) == len({id(p) for p in grouped})
    assert {id(p) for p in grouped} == {id(p) for p in detector.parameters()}


def test_groups_hold_what_they_are_named_after(detector):
    names = {id(p): name for name, p in detector.named_parameters()}
    groups = {
        group: {names[id(p)] for p in parameters}
        for group, parameters in group_parameters(detector).items()
    }
    assert groups["embedding"] == {name for name in names.values() if name.startswith("embedding.")}
    assert all(name.endswith(".bias") for name in groups["biases"])
    assert all(name.endswith((".w", ".slope")) for name in groups["neurons"])
    assert {name.rsplit(".", 1)[1] for name in groups["neurons"]} == {"w", "slope"}
    ranks = {
        group: {dict(detector.named_parameters())[n].dim() for n in groups[group]}
        for group in groups
    }
    assert ranks["batch_norm_weights"] == {1}
    assert ranks["weights"] == {4}


def test_frozen_parameters_are_left_out():
    model = torch.nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    assert {g["name"] for g in build_optimizer(model, name="ADAM", lr=1.0).param_groups} == {
        "weights"
    }


def test_a_parameter_shared_by_two_layers_is_noticed():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[1].weight = model[0].weight
    with pytest.raises(AssertionError, match=r"not in exactly one optimizer group: 0\.weight\."):
        build_optimizer(model, name="ADAM", lr=1.0)


def test_only_weights_decay_and_only_the_embedding_has_its_own_rate(detector):
    optimizer = build_optimizer(detector, name="ADAM", lr=0.1, weight_decay=0.01, emb_lr=0.02)
    assert {g["name"]: g["weight_decay"] for g in optimizer.param_groups} == {
        "embedding": 0.0,
        "batch_norm_weights": 0.0,
        "weights": 0.01,
        "biases": 0.0,
        "neurons": 0.0,
    }
    set_learning_rate(optimizer, 0.05)
    rates = {g["name"]: g["lr"] for g in optimizer.param_groups}
    assert rates.pop("embedding") == pytest.approx(0.01)
    assert set(rates.values()) == {0.05}


def test_negative_embedding_rate_means_the_same_as_the_rest(detector):
    optimizer = build_optimizer(detector, name="SGD", lr=0.1, momentum=0.8, emb_lr=-1)
    assert {g["lr_scale"] for g in optimizer.param_groups} == {1.0}
    assert {(g["momentum"], g["nesterov"]) for g in optimizer.param_groups} == {(0.8, True)}


def test_unknown_optimizer_is_refused(detector):
    with pytest.raises(ValueError, match=r"^`name` must be ADAM or SGD, but is ADAMW\.$"):
        build_optimizer(detector, name="ADAMW", lr=0.1)
