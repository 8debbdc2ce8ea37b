"""A short run, and what tests ask of runs."""

from __future__ import annotations

import json
import math
import os

import torch
from engine_toys import GLOBAL_BATCH, LENGTH

from easnn.engine import MEASURED, TrainConfig

STEPS = -(-LENGTH // GLOBAL_BATCH)  # of an epoch: 5
PLAN = TrainConfig(max_epoch=3, eval_interval=2, print_interval=2)


def assert_same(a, b, where=""):
    """Compare nested checkpoints to the last digit."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{index}]")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where


def train_lines(run):
    """Return the numbers of the training steps, without those that are times."""
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in MEASURED} for line in lines]


class StopAfter:
    """A learning-rate schedule that sends a signal to this process in one iteration."""

    def __init__(self, iteration, number):
        self.iteration, self.number = iteration, number

    def __call__(self, iteration):
        if iteration == self.iteration:
            os.kill(os.getpid(), self.number)
        return 0.01 * 0.5 * (1 + math.cos(math.pi * iteration / (3 * STEPS)))
