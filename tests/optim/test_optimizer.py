from __future__ import annotations

import copy

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
    with pytest.raises(ValueError, match=r"^`name` must be ADAM, ADAMW or SGD, but is LION\.$"):
        build_optimizer(detector, name="LION", lr=0.1)


def gradients_of(model, step):
    """Return made-up gradients in the layout of the parameters; some get none."""
    generator = torch.Generator().manual_seed(step)
    return [
        None if number % 7 == 3 else torch.empty_like(p).normal_(generator=generator)
        for number, p in enumerate(model.parameters())
    ]


def train_on(model, optimizer, rates):
    for step, lr in enumerate(rates):
        set_learning_rate(optimizer, lr)
        for parameter, gradient in zip(model.parameters(), gradients_of(model, step), strict=True):
            parameter.grad = gradient
        optimizer.step()


def test_adamw_is_that_of_torch_with_decay_of_the_weights_only(detector):
    """A literal list of groups, by name and rank instead of by module."""
    ours, theirs = copy.deepcopy(detector), copy.deepcopy(detector)
    rates = [0.1, 0.05, 0.025]
    train_on(
        ours,
        build_optimizer(ours, name="ADAMW", lr=0.1, weight_decay=0.3, emb_lr=0.02),
        rates,
    )
    embedding, decayed, others = [], [], []
    for name, parameter in theirs.named_parameters():
        if name.startswith("embedding."):
            embedding.append(parameter)
        elif name.endswith(".weight") and parameter.dim() == 4:
            decayed.append(parameter)
        else:
            others.append(parameter)
    groups = [
        {"params": embedding, "weight_decay": 0.0, "lr_scale": 0.2},
        {"params": decayed, "weight_decay": 0.3, "lr_scale": 1.0},
        {"params": others, "weight_decay": 0.0, "lr_scale": 1.0},
    ]
    train_on(theirs, torch.optim.AdamW(groups, lr=0.1), rates)
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_decay_of_adamw_is_no_part_of_the_gradient():
    """Without a gradient, a step multiplies weights by 1 − lr·weight_decay, and biases by 1."""
    model = torch.nn.Linear(2, 2)
    before = copy.deepcopy(model)
    optimizer = build_optimizer(model, name="ADAMW", lr=0.1, weight_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(model.weight, before.weight * (1 - 0.1 * 0.5))
    assert torch.equal(model.bias, before.bias)


def test_sgd_has_the_momentum_of_nesterov():
    """v ← m·v + g; weight ← weight − lr·(g + m·v)."""
    model = torch.nn.Linear(1, 1, bias=False)
    weight, momentum, velocity = model.weight.item(), 0.8, 0.0
    optimizer = build_optimizer(model, name="SGD", lr=0.1, momentum=momentum)
    for gradient in (1.0, -0.5, 2.0):
        model.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
        velocity = momentum * velocity + gradient
        weight -= 0.1 * (gradient + momentum * velocity)
        assert model.weight.item() == pytest.approx(weight, rel=1e-5)
