from __future__ import annotations

import pytest
import torch
from engine_toys import CPU, ToyDetector, prepare, toy_batch

from easnn.engine.step import TrainingStep
from easnn.optim import build_optimizer
from easnn.utils.precision import Precision

NOTHING = torch.zeros(1), torch.zeros(1, 1, 5)
"""Events and boxes for models that read neither."""


class ScaledPrecision(Precision):
    """What mixed precision is on CUDA, with a scaler that also works on the CPU."""

    def __init__(self, scale):
        super().__init__(CPU, "exact")
        self.scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1)


class Overflowing(torch.nn.Module):
    """A loss of 1 whose gradient overflows as soon as it is scaled by more than 10¹⁸."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, events, targets):
        return {"total_loss": (self.weight / 1e20) * 1e20}


def step_of(model, precision=None):
    optimizer = build_optimizer(model, name="SGD", lr=0.1, momentum=0.0)
    return TrainingStep(model, optimizer, precision or Precision(CPU, "exact"))


def test_a_step_moves_against_the_gradient_and_reports_it():
    model = ToyDetector().train()
    events, targets = prepare(toy_batch([0, 1]))
    bias = model.head.bias.detach().clone()
    report = step_of(model)(events, targets)
    assert report.finite
    assert report.updated
    assert report.stop_signal == 0
    torch.testing.assert_close(model.head.bias, bias - 0.1 * model.head.bias.grad)
    squares = sum(p.grad.square().sum().item() for p in model.parameters() if p.grad is not None)
    assert report.grad_norm == pytest.approx(squares**0.5)
    assert report.losses.keys() == {"total_loss", "iou_loss", "num_fg"}
    assert report.losses["num_fg"] == 1.0


def test_gradients_of_an_earlier_step_are_forgotten():
    model = ToyDetector().train()
    step = step_of(model)
    step(*prepare(toy_batch([0, 1])))
    model.zero_grad()
    report = step(*prepare(toy_batch([2, 3])))
    squares = sum(p.grad.square().sum().item() for p in model.parameters() if p.grad is not None)
    assert report.grad_norm == pytest.approx(squares**0.5)


def test_the_stop_signal_is_reported():
    assert (
        step_of(ToyDetector().train())(*prepare(toy_batch([0])), stop_signal=15).stop_signal == 15
    )


def test_an_overflow_of_scaled_gradients_skips_the_update_and_lowers_the_scale():
    model = Overflowing()
    precision = ScaledPrecision(2.0**60 * 2.0**60)
    report = step_of(model, precision)(*NOTHING)
    assert report.finite
    assert not report.updated
    assert model.weight.item() == 1.0
    assert precision.scaler.get_scale() == 2.0**119


@pytest.mark.parametrize("precision", [None, ScaledPrecision(1.0)])
def test_an_overflow_without_a_scale_skips_the_update(precision):
    class Steep(Overflowing):
        def forward(self, events, targets):
            return {"total_loss": torch.sqrt(self.weight - 1)}  # infinite gradient at 0

    model = Steep()
    report = step_of(model, precision)(*NOTHING)
    assert report.losses == {"total_loss": 0.0}
    assert report.finite
    assert not report.updated
    assert model.weight.item() == 1.0


def test_a_loss_that_is_not_finite_is_an_error_whatever_the_scale():
    class NotANumber(Overflowing):
        def forward(self, events, targets):
            return {"total_loss": self.weight * 1, "cls_loss": self.weight.detach() * torch.nan}

    model = NotANumber()
    assert not step_of(model, ScaledPrecision(2.0**10))(*NOTHING).finite
    assert model.weight.item() == 1.0


def test_mixed_precision_on_the_cpu_computes_in_bfloat16():
    seen = []
    model = ToyDetector().train()
    model.embedding.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    step_of(model, Precision(CPU, "bf16"))(*prepare(toy_batch([0])))
    step_of(model)(*prepare(toy_batch([0])))
    assert seen == [torch.bfloat16, torch.float32]
