from __future__ import annotations

import math

import pytest
import torch

from easnn.optim import build_schedule
from easnn.utils.errors import ConfigError

EPOCH = {"steps_per_epoch": 10, "max_epoch": 10}


def test_fixed_is_constant():
    schedule = build_schedule("fixed", 0.5, **EPOCH)
    assert [schedule(i) for i in (0, 50, 99)] == [0.5, 0.5, 0.5]


def test_cos_falls_from_lr_to_zero():
    schedule = build_schedule("cos", 0.5, **EPOCH)
    assert schedule(0) == 0.5
    assert schedule(50) == pytest.approx(0.25)
    assert schedule(25) == pytest.approx(0.25 * (1 + math.sqrt(0.5)))
    assert schedule(100) == pytest.approx(0.0, abs=1e-15)


def test_warmcos_rises_linearly_then_falls():
    schedule = build_schedule("warmcos", 1.0, **EPOCH, warmup_epochs=2, warmup_lr=0.2)
    assert schedule(0) == 0.2
    assert schedule(10) == pytest.approx(0.6)
    assert schedule(20) == 1.0
    assert schedule(60) == pytest.approx(0.5)  # halfway through the other 80 iterations


def test_yoloxwarmcos_boundaries():
    schedule = build_schedule(
        "yoloxwarmcos",
        1.0,
        **EPOCH,
        warmup_epochs=2,
        warmup_lr=0.2,
        min_lr_ratio=0.1,
        no_aug_epochs=3,
    )
    assert schedule(0) == 0.2
    assert schedule(10) == pytest.approx(0.2 + 0.8 * 0.25)
    assert schedule(20) == 1.0
    assert schedule(45) == pytest.approx(0.55)  # halfway between 20 and 70
    assert schedule(69) > 0.1
    assert schedule(70) == pytest.approx(0.1)
    assert schedule(99) == pytest.approx(0.1)


def test_yoloxwarmcos_without_warm_up_starts_at_lr():
    schedule = build_schedule("yoloxwarmcos", 1.0, **EPOCH)
    assert schedule(0) == 1.0
    assert schedule(50) == pytest.approx(0.05 + 0.95 / 2)


def test_multistep_falls_at_each_milestone():
    schedule = build_schedule("multistep", 1.0, **EPOCH, milestones=(4, 8))
    assert [schedule(i) for i in (0, 39)] == [1.0, 1.0]
    assert [schedule(i) for i in (40, 79)] == pytest.approx([0.1, 0.1])
    assert [schedule(i) for i in (80, 99)] == pytest.approx([0.01, 0.01])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "multistep",
            {},
            "`scheduler` multistep needs `milestones`: the epochs at which the learning rate "
            "falls.",
        ),
        (
            "warmcos",
            {"warmup_epochs": 8, "no_aug_epochs": 3},
            "`warmup_epochs` (8) and `no_aug_epochs` (3) must fit into `max_epoch` (10) together.",
        ),
    ],
)
def test_wrong_options_are_refused(name, options, message):
    with pytest.raises(ConfigError) as error:
        build_schedule(name, 1.0, **EPOCH, **options)
    assert str(error.value) == message


def test_an_unknown_schedule_is_refused():
    with pytest.raises(
        ValueError,
        match=r"^`name` must be fixed, cos, warmcos, yoloxwarmcos, multistep, onecycle, but is cos",
    ):
        build_schedule("cosine", 0.1, steps_per_epoch=1, max_epoch=1)


@pytest.mark.parametrize(
    ("steps_per_epoch", "max_epoch", "options"),
    [
        (10, 10, {}),
        (7, 3, {"pct_start": 0.005, "final_div_factor": 1e3}),
        (7, 3, {"pct_start": 0.9, "div_factor": 10.0}),
        (3, 1, {"pct_start": 0.5, "div_factor": 1.0, "final_div_factor": 1.0}),
        (1, 2, {}),
    ],
)
def test_onecycle_is_that_of_torch(steps_per_epoch, max_epoch, options):
    n = steps_per_epoch * max_epoch
    schedule = build_schedule(
        "onecycle", 0.4, steps_per_epoch=steps_per_epoch, max_epoch=max_epoch, **options
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.4, total_steps=n, anneal_strategy="cos", cycle_momentum=False, **options
    )
    for i in range(n):
        assert schedule(i) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9, abs=1e-15), i
        optimizer.step()
        if i + 1 < n:
            theirs.step()


def test_onecycle_rises_to_lr_and_falls_to_its_end():
    schedule = build_schedule("onecycle", 1.0, steps_per_epoch=10, max_epoch=10, pct_start=0.51)
    assert schedule(0) == pytest.approx(1 / 25)
    assert schedule(25) == pytest.approx((1 + 1 / 25) / 2)  # halfway up
    assert schedule(50) == 1.0
    assert schedule(99) == pytest.approx(1 / 25e4)
    assert schedule(100) == schedule(99)


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
@pytest.mark.parametrize("pct_start", [0.0, 0.1, 0.5, 1 / 3])
def test_a_onecycle_of_few_steps_is_defined(steps, pct_start):
    """Also where torch divides by zero: one step of warm-up (`pct_start`·n = 1)."""
    schedule = build_schedule(
        "onecycle", 1.0, steps_per_epoch=steps, max_epoch=1, pct_start=pct_start
    )
    rates = [schedule(i) for i in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    assert rates[-1] == pytest.approx(1 / 25e4)
