"""Learning-rate schedules as pure functions of the iteration."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from easnn.utils.errors import ConfigError

Schedule = Callable[[int], float]
"""Maps an iteration, counted from 0 over the whole run, to its learning rate."""

ScheduleName = Literal["fixed", "cos", "warmcos", "yoloxwarmcos", "multistep", "onecycle"]


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
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    """Build a schedule over ``max_epoch × steps_per_epoch`` iterations.

    For iteration i of n, with w iterations of warm-up and a iterations of ``no_aug_epochs``:

    - ``fixed``: lr.
    - ``cos``: lr·½(1 + cos(πi/n)).
    - ``warmcos``: linear from ``warmup_lr`` to lr while i ≤ w, then a cosine over the remaining
      n−w.
    - ``yoloxwarmcos``: (lr − warmup_lr)·(i/w)² + warmup_lr while i ≤ w; min_lr = lr·min_lr_ratio in
      the last a; in between min_lr + ½(lr − min_lr)(1 + cos(π(i−w)/(n−w−a))). Without warm-up it
      starts at lr.
    - ``multistep``: lr, times 0.1 for each of ``milestones`` (epochs) passed.
    - ``onecycle``: half a cosine from lr/``div_factor`` up to lr, at p = ``pct_start``·n − 1, and
      half a cosine down to lr/(``div_factor``·``final_div_factor``), at the last iteration n − 1.
      If p ≤ 0, it starts on the way down. Smith and Topin, "Super-Convergence", 2018, with the
      cosines of ``torch.optim.lr_scheduler.OneCycleLR``; the momentum stays as it is.

    Args:
        name: name of the schedule.
        lr: the learning rate: ``basic_lr_per_img`` times the samples of a step.
        steps_per_epoch: optimizer steps per epoch.
        max_epoch: number of epochs.
        warmup_epochs: number of warm-up epochs (``warmcos``, ``yoloxwarmcos``).
        warmup_lr: learning rate at the start of the warm-up.
        min_lr_ratio: final learning rate as a fraction of ``lr`` (``yoloxwarmcos``).
        no_aug_epochs: number of epochs at the final learning rate (``yoloxwarmcos``).
        milestones: epochs at which the learning rate is divided by 10 (``multistep``).
        pct_start: share of all iterations in which the learning rate rises, below 1 (``onecycle``).
        div_factor: ratio of ``lr`` to the first learning rate (``onecycle``).
        final_div_factor: ratio of the first learning rate to the last one (``onecycle``).

    Raises:
        ValueError: if the name is unknown.
        ConfigError: if the warm-up and the final epochs exceed ``max_epoch``, or ``multistep`` has
            no milestones.
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

    def onecycle(i: int) -> float:
        first, top, last = lr / div_factor, pct_start * n - 1, n - 1
        if i <= top and top > 0:
            return lr + (first - lr) * _half_cosine(i / top)
        final = first / final_div_factor
        return final + (lr - final) * _half_cosine(min((i - top) / (last - top), 1.0))

    schedules: dict[ScheduleName, Schedule] = {
        "fixed": fixed,
        "cos": cos,
        "warmcos": warmcos,
        "yoloxwarmcos": yoloxwarmcos,
        "multistep": multistep,
        "onecycle": onecycle,
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
            f"into `max_epoch` ({max_epoch}) together."
        )
    return schedules[name]


def _half_cosine(progress: float) -> float:
    """Return half a period of a cosine: 1 at ``progress`` 0, 0 at ``progress`` 1."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))
