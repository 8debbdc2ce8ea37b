from __future__ import annotations

import pytest
import torch
from engine_toys import ToyDetector, build_trainer, train_loader
from loguru import logger
from trainer_runs import PLAN, STEPS

from easnn.checkpoints import load_checkpoint
from easnn.engine import RunDirectory
from easnn.utils.errors import TrainingError


def test_a_loss_that_is_not_finite_stops_the_run_before_the_update(tmp_path):
    model = ToyDetector()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    first = next(iter(train_loader()))
    with pytest.raises(TrainingError) as error:
        build_trainer(
            tmp_path, PLAN, model=model, train_loader=train_loader(spoil=first.indices[1])
        ).train()
    samples = [
        f"{name} at {time} µs" for name, time in zip(first.sequences, first.times_us, strict=True)
    ]
    assert str(error.value) == (
        "A loss is not finite in epoch 1, step 1: process 0: total_loss nan, iou_loss nan, num_fg "
        f"nan, gradient norm nan; samples {', '.join(samples)}. The weights were not changed. "
        "Lower `basic_lr_per_img`, train without --fp16, or look at these samples."
    )
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert not RunDirectory(tmp_path).latest.exists()


class Steep(ToyDetector):
    """A detector whose gradient is infinite in some of its first steps."""

    def __init__(self, steps):
        super().__init__()
        self.steps, self.done = steps, 0

    def forward(self, events, targets=None):
        outputs = super().forward(events, targets)
        if targets is None:
            return outputs
        self.done += 1
        if self.done not in self.steps:
            return outputs
        steep = torch.sqrt(0 * next(self.parameters()).sum())  # infinite gradient at 0
        return {**outputs, "total_loss": outputs["total_loss"] + steep}


def test_steps_whose_gradient_is_not_finite_are_skipped(tmp_path):
    messages = []
    sink = logger.add(
        lambda message: messages.append(str(message)), level="WARNING", format="{message}"
    )
    try:
        build_trainer(tmp_path, PLAN, model=Steep(range(2, 2 + 3))).train()
    finally:
        logger.remove(sink)
    assert [message.split(": ")[0] for message in messages] == [
        f"Epoch 1, step {n} is skipped" for n in (2, 3, 4)
    ]
    assert ": its gradient is not finite (process 0: total_loss " in messages[0]
    latest = load_checkpoint(RunDirectory(tmp_path).latest)
    assert (latest["epoch"], latest["ema_updates"]) == (3, 3 * STEPS - 3)
    assert all(weights.isfinite().all() for weights in latest["raw_model"].values())


def test_a_run_whose_gradients_are_never_finite_stops(tmp_path):
    model = Steep(range(1, 1000))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pytest.raises(TrainingError) as error:
        build_trainer(tmp_path, PLAN.replace(max_epoch=10), model=model).train()
    message = str(error.value)
    last = f"epoch 4, step {20 - 3 * STEPS}"
    assert message.startswith(
        f"The gradient is not finite in 20 steps in a row, up to {last}: process 0: total_"
    )
    assert message.endswith(
        ". The weights were not changed. Gradients explode if no neuron fires: lower `thresh`, use "
        "a larger batch (-b), or start without `write_zero`. Otherwise lower `basic_lr_per_img`, "
        "or train without --fp16."
    )
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
