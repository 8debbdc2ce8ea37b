"""Parts of a network that are not trained."""

from __future__ import annotations

import copy
import signal

import pytest
import torch
from engine_toys import ToyDetector, build_trainer
from trainer_runs import PLAN, STEPS, StopAfter, assert_same, train_lines

from easnn.checkpoints import load_checkpoint
from easnn.engine import RunDirectory, freeze_parts
from easnn.engine.step import TrainingStep, batch_norms, train_mode
from easnn.models import DetectorConfig, SpikeMode, build_detector
from easnn.optim import build_optimizer
from easnn.utils.errors import ConfigError
from easnn.utils.precision import Precision

CPU = torch.device("cpu")
FROZEN = PLAN.replace(freeze=("embedding", "norm"))


def small_detector(**changes):
    torch.manual_seed(0)
    small = {"width": 0.125, "depth": 0.33, "T": 2, "num_classes": 2, "embedding_ksize": 3}
    spiking = {"use_spike": SpikeMode.FULL_V2, "embedding": "arsnn", "norm": "bn"}
    return build_detector(DetectorConfig(**{**small, **spiking, **changes}))


def sample():
    generator = torch.Generator().manual_seed(0)
    events = torch.poisson(torch.full((2, 1, 3, 2, 64, 64), 0.5), generator)
    targets = torch.zeros(2, 3, 5)
    targets[0, :2] = torch.tensor([[0, 20.0, 30, 16, 20], [1, 40.0, 20, 30, 10]])
    return events, targets


def test_frozen_parts_stay_as_they_are(tmp_path):
    model = ToyDetector()
    before = copy.deepcopy(model.state_dict())
    build_trainer(tmp_path, FROZEN, model=model).train()
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {"head.weight", "head.bias"}
    checkpoint = load_checkpoint(RunDirectory(tmp_path).latest)
    groups = [group["name"] for group in checkpoint["optimizer"]["param_groups"]]
    assert groups == ["weights", "biases", "neurons"]
    assert all(torch.equal(checkpoint["model"][n], before[n]) for n in before if n not in changed)


def test_a_frozen_part_beside_frozen_batch_norms(tmp_path):
    model = ToyDetector()
    before = copy.deepcopy(model.state_dict())
    build_trainer(tmp_path, PLAN.replace(freeze=("head",), freeze_bn=True), model=model).train()
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {"embedding.weight", "embedding.bias", "norm.weight", "norm.bias"}


@pytest.mark.parametrize("changes", [{}, {"use_spike": SpikeMode.NONE, "Ts": 1}], ids=str)
@pytest.mark.parametrize(
    "names",
    [
        ("embedding",),
        ("backbone",),
        ("neck",),
        ("head",),
        ("embedding", "backbone", "neck"),
        ("backbone.stem",),
    ],
    ids=",".join,
)
def test_the_gradients_of_the_others_are_the_same(names, changes):
    """As in a network whose parts have gradients, but whose batch norms are in evaluation mode."""
    events, targets = sample()
    frozen = small_detector(**changes)
    whole = copy.deepcopy(frozen)
    freeze_parts(frozen, names)
    buffers = copy.deepcopy(dict(frozen.named_buffers()))
    for model in (frozen, whole):
        train_mode(model, freeze_bn=False, freeze=names)
        optimizer = build_optimizer(model, name="SGD", lr=0.0)
        TrainingStep(model, optimizer, Precision(CPU, "exact"))(events, targets)

    def is_frozen(name):
        return any(name.startswith(f"{part}.") for part in names)

    gradients = dict(whole.named_parameters())
    for name, parameter in frozen.named_parameters():
        if is_frozen(name):
            assert parameter.grad is None, name
        else:
            assert (parameter.grad is None) == (gradients[name].grad is None), name
            if parameter.grad is not None:
                torch.testing.assert_close(parameter.grad, gradients[name].grad, msg=name)
    statistics = {name: value for name, value in frozen.named_buffers() if is_frozen(name)}
    assert all(torch.equal(value, buffers[name]) for name, value in statistics.items())
    assert any(norm.training for norm in batch_norms(frozen))


def test_a_frozen_run_that_was_stopped_and_resumed_is_the_same_to_the_last_bit(tmp_path):
    build_trainer(tmp_path / "whole", FROZEN).train()
    stopping = StopAfter(STEPS + 1, signal.SIGTERM)
    with pytest.raises(SystemExit):
        build_trainer(tmp_path / "run", FROZEN, schedule=stopping).train()
    run, whole = RunDirectory(tmp_path / "run"), RunDirectory(tmp_path / "whole")
    torch.manual_seed(99)
    trainer = build_trainer(run.path, FROZEN)
    trainer.resume(load_checkpoint(run.latest), run.latest)
    trainer.train()
    assert_same(load_checkpoint(run.latest), load_checkpoint(whole.latest))
    assert train_lines(run) == train_lines(whole)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("neck", "backbne"),
            "`freeze` must name parts of the network, but the network has no part 'backbne'. Its "
            "parts are embedding, backbone, neck, head.",
        ),
        (
            ("head.stem",),
            "`freeze` must name parts of the network, but head has no part 'stem'. Its parts are "
            "{}.",
        ),
        (
            ("head", "neck", "backbone", "embedding"),
            "`freeze` must leave a part of the network to train, but is "
            "head,neck,backbone,embedding, which holds all parameters.",
        ),
    ],
)
def test_wrong_names_are_refused(names, message):
    model = small_detector()
    with pytest.raises(ConfigError) as error:
        freeze_parts(model, names)
    assert str(error.value) == message.format(", ".join(dict(model.head.named_children())))


def test_a_part_without_parts():
    with pytest.raises(ConfigError) as error:
        freeze_parts(ToyDetector(), ["norm.weight"])
    assert str(error.value) == (
        "`freeze` must name parts of the network, but norm has no part 'weight'. It has no parts."
    )
