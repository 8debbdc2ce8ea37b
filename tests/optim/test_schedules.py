from __future__ import annotations

import math

import pytest

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
            "`scheduler` multistep needs `milestones`: the epochs at which the learning rate falls.",
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
        match=r"^`name` must be fixed, cos, warmcos, yoloxwarmcos, multistep, but is cosine",
    ):
        build_schedule("cosine", 0.1, steps_per_epoch=1, max_epoch=1)
