"""Learning-rate schedules: pure functions of the iteration."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from easnn.utils.errors import ConfigError

Schedule = Callable[[int], float]
"""The learning rate of an iteration, counted from 0 over the whole run."""

ScheduleName = Literal["fixed", "cos", "warmcos", "yoloxwarmcos", "multistep"]


def build_schedule(
    name: ScheduleName,
    lr: float,
    *,
    steps_per_epoch: int,
    max_epoch: int,
    warmup_epochs: int = 0,
    warmup_lr: float = 0.0,
    min_lr_ratio: float = 0.05,
    no_aug_epochs: int = 0,
    milestones: Sequence[int] = (),
) -> Schedule:
    """Build a schedule over ``max_epoch × steps_per_epoch`` iterations.

    With iteration i of n, warm-up w and final stretch a (in iterations):

    - ``fixed``: lr.
    - ``cos``: lr·½(1 + cos(πi/n)).
    - ``warmcos``: from ``warmup_lr`` linearly to lr while i ≤ w, then the cosine over the other
      n−w.
    - ``yoloxwarmcos``: (lr − warmup_lr)·(i/w)² + warmup_lr while i ≤ w; min_lr = lr·min_lr_ratio in
      the last a; between them min_lr + ½(lr − min_lr)(1 + cos(π(i−w)/(n−w−a))). Without warm-up it
      starts at lr.
    - ``multistep``: lr·0.1 for each of ``milestones`` (epochs) passed.

    Args:
        name: Name of the schedule.
        lr: The learning rate: ``basic_lr_per_img`` times the global batch size.
        steps_per_epoch: Optimiser steps in an epoch.
        max_epoch: Epochs of the run.
        warmup_epochs: Epochs of warm-up (``warmcos``, ``yoloxwarmcos``).
        warmup_lr: Learning rate at which the warm-up starts.
        min_lr_ratio: Final learning rate as a part of ``lr`` (``yoloxwarmcos``).
        no_aug_epochs: Epochs at the final learning rate (``yoloxwarmcos``).
        milestones: Epochs at which the rate falls to a tenth (``multistep``).

    Raises:
        ValueError: if the name is unknown.
        ConfigError: if the epochs do not fit together.
    """
    n = max_epoch * steps_per_epoch
    w = warmup_epochs * steps_per_epoch
    a = no_aug_epochs * steps_per_epoch
    min_lr = lr * min_lr_ratio

    def fixed(i: int) -> float:
        return lr

    def cos(i: int) -> float:
        return lr * _half_cosine(i / n)

    def warmcos(i: int) -> float:
        if i < w:
            return warmup_lr + (lr - warmup_lr) * i / w
        return lr * _half_cosine((i - w) / max(n - w, 1))

    def yoloxwarmcos(i: int) -> float:
        if i < w:
            return warmup_lr + (lr - warmup_lr) * (i / w) ** 2
        if i >= n - a:
            return min_lr
        return min_lr + (lr - min_lr) * _half_cosine((i - w) / (n - w - a))

    def multistep(i: int) -> float:
        return lr * 0.1 ** sum(i >= milestone * steps_per_epoch for milestone in milestones)

    schedules: dict[ScheduleName, Schedule] = {
        "fixed": fixed,
        "cos": cos,
        "warmcos": warmcos,
        "yoloxwarmcos": yoloxwarmcos,
        "multistep": multistep,
    }
    if name not in schedules:
        raise ValueError(f"`name` must be {', '.join(schedules)}, but is {name}.")
    if name == "multistep" and not milestones:
        raise ConfigError(
            "`scheduler` multistep needs `milestones`: the epochs at which the learning rate falls."
        )
    if warmup_epochs + no_aug_epochs > max_epoch:
        raise ConfigError(
            f"`warmup_epochs` ({warmup_epochs}) and `no_aug_epochs` ({no_aug_epochs}) must fit "
            "into "
            f"`max_epoch` ({max_epoch}) together."
        )
    return schedules[name]


def _half_cosine(progress: float) -> float:
    """Fall from 1 to 0 along half a cosine while ``progress`` goes from 0 to 1."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))
