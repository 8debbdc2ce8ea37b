from __future__ import annotations

import copy

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


def clipped_by_torch(model, optimizer, limit):
    """Do a step with torch's own functions and return the norm before it."""
    model(*prepare(toy_batch([0, 1])))["total_loss"].backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
    optimizer.step()
    return norm.item()


@pytest.mark.parametrize("precision", [None, ScaledPrecision(2.0**10)], ids=["exact", "scaled"])
@pytest.mark.parametrize("limit", [0.01, 0.5, 1e6])
@pytest.mark.parametrize("name", ["SGD", "ADAM", "ADAMW"])
def test_clipping_is_that_of_torch(name, limit, precision):
    torch.manual_seed(0)
    ours = ToyDetector().train()
    theirs = copy.deepcopy(ours)
    optimizers = {
        "SGD": lambda: torch.optim.SGD(theirs.parameters(), 0.1, 0.9, nesterov=True),
        "ADAM": lambda: torch.optim.Adam(theirs.parameters(), 0.1),
        "ADAMW": lambda: torch.optim.AdamW(theirs.parameters(), 0.1, weight_decay=0.0),
    }
    norm = clipped_by_torch(theirs, optimizers[name](), limit)
    assert 0.5 < norm < 1e6
    optimizer = build_optimizer(ours, name=name, lr=0.1, momentum=0.9)
    step = TrainingStep(ours, optimizer, precision or Precision(CPU, "exact"), clip_grad=limit)
    report = step(*prepare(toy_batch([0, 1])))
    assert report.updated
    assert report.grad_norm == pytest.approx(norm, rel=1e-5)
    for (key, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=key)
        if b.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-7, msg=key)


def test_a_limit_that_is_not_reached_changes_no_bit():
    weights = []
    for limit in (0.0, 1e6):
        torch.manual_seed(0)
        model = ToyDetector().train()
        optimizer = build_optimizer(model, name="ADAM", lr=0.1)
        step = TrainingStep(model, optimizer, Precision(CPU, "exact"), clip_grad=limit)
        for index in range(3):
            step(*prepare(toy_batch([index])))
        weights.append(model.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("precision", [None, ScaledPrecision(1.0)], ids=["exact", "scaled"])
def test_an_infinite_gradient_is_skipped_and_not_clipped(precision):
    class Steep(Overflowing):
        def forward(self, events, targets):
            return {"total_loss": torch.sqrt(self.weight - 1)}

    model = Steep()
    optimizer = build_optimizer(model, name="SGD", lr=0.1, momentum=0.0)
    step = TrainingStep(model, optimizer, precision or Precision(CPU, "exact"), clip_grad=1.0)
    assert not step(*NOTHING).updated
    assert model.weight.item() == 1.0
