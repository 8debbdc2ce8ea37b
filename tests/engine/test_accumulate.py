"""Steps whose batch is computed in parts."""

from __future__ import annotations

import copy
import signal

import pytest
import torch
from engine_toys import (
    GLOBAL_BATCH,
    NormalisedToy,
    build_trainer,
    prepare_double,
    toy_batch,
    train_loader,
)
from lively import TINY, event_counts, lively_detector
from trainer_runs import PLAN, StopAfter, assert_same, train_lines

from easnn.checkpoints import load_checkpoint
from easnn.engine import RunDirectory
from easnn.engine.step import TrainingStep, train_mode
from easnn.optim import build_optimizer
from easnn.utils.precision import Precision

CPU = torch.device("cpu")
EXACT = {"rtol": 0, "atol": 1e-12}


def train(path, *, batch_size, accumulate, by_size=False, **keys):
    """Train in float64 with frozen norms; return the checkpoint and the lines of metrics."""
    torch.manual_seed(0)
    model = NormalisedToy(by_size=by_size).double()
    config = PLAN.replace(freeze_bn=True, print_interval=1, accumulate=accumulate, **keys)
    loader = train_loader(batch_size=batch_size, accumulate=accumulate)
    build_trainer(path, config, model=model, prepare=prepare_double, train_loader=loader).train()
    run = RunDirectory(path)
    return load_checkpoint(run.latest), train_lines(run)


@pytest.mark.parametrize("keys", [{}, {"clip_grad": 1.0}], ids=["", "clip_grad"])
@pytest.mark.parametrize(("batch_size", "accumulate"), [(2, 2), (1, 4)])
def test_parts_are_one_batch_if_their_losses_are_means(tmp_path, batch_size, accumulate, keys):
    """Weights, moving average, schedule, steps, losses and results are those of one batch."""
    whole, lines = train(tmp_path / "whole", batch_size=GLOBAL_BATCH, accumulate=1, **keys)
    parts, lines_of_parts = train(
        tmp_path / "parts", batch_size=batch_size, accumulate=accumulate, **keys
    )
    for kind in ("model", "raw_model"):
        for name, value in whole[kind].items():
            torch.testing.assert_close(parts[kind][name], value, **EXACT, msg=name)
    for name in ("epoch", "step", "steps_per_epoch", "steps_done", "ema_updates"):
        assert parts[name] == whole[name]
    assert len(lines) == len(lines_of_parts)
    for line, of_parts in zip(lines, lines_of_parts, strict=True):
        numbers = {name: value for name, value in line.items() if isinstance(value, float | int)}
        found = {name: of_parts[name] for name in numbers}
        assert found == pytest.approx(numbers, rel=1e-9, nan_ok=True)


def test_parts_that_are_normalised_differently_are_not_one_batch(tmp_path):
    whole, _ = train(tmp_path / "whole", batch_size=4, accumulate=1, by_size=True)
    parts, _ = train(tmp_path / "parts", batch_size=2, accumulate=2, by_size=True)
    assert not torch.allclose(whole["raw_model"]["head.bias"], parts["raw_model"]["head.bias"])


@pytest.fixture(scope="module")
def detector():
    return lively_detector(TINY, event_counts(frames=3).double())


def gradients(model, parts):
    """Return the losses and the gradients of a step with frozen norms."""
    model = copy.deepcopy(model)
    train_mode(model, freeze_bn=True)
    step = TrainingStep(model, build_optimizer(model, name="SGD", lr=0.0), Precision(CPU, "exact"))
    report = step.update(parts)
    return report.losses, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def part(number, boxes):
    """Return a frame with some boxes."""
    rows = torch.tensor([[0, 20.0, 12, 16, 14], [1, 40.0, 20, 30, 10], [1, 44, 10, 12, 18]])
    targets = torch.zeros(1, 3, 5, dtype=torch.double)
    targets[0, :boxes] = rows[:boxes].double()
    return event_counts(frames=3)[number : number + 1].double(), targets


def test_losses_and_gradients_of_the_detector_are_means_over_the_parts(detector):
    parts = [part(0, 1), part(1, 3), part(2, 2)]
    losses, together = gradients(detector, iter(parts))
    one_by_one = [gradients(detector, [p]) for p in parts]
    for name, loss in losses.items():
        assert loss == pytest.approx(sum(of[name] for of, _ in one_by_one) / 3, rel=1e-12)
    assert sum(bool(gradient.any()) for gradient in together.values()) > 50
    for name, gradient in together.items():
        expected = sum(of[name] for _, of in one_by_one) / 3
        torch.testing.assert_close(gradient, expected, **EXACT, msg=name)


def test_parts_of_the_detector_with_as_many_positive_anchors_are_one_batch(detector):
    """Each loss is a sum divided by the number of positive anchors, here the same in both parts."""
    events, targets = part(0, 2)
    whole = [(torch.cat((events, events)), torch.cat((targets, targets)))]
    losses, expected = gradients(detector, whole)
    losses_of_parts, found = gradients(detector, [(events, targets), (events, targets)])
    assert losses_of_parts == pytest.approx(losses, rel=1e-9)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-10, msg=name)


def test_scaled_gradients_of_parts_are_averaged():
    class Scaled(Precision):
        def __init__(self):
            super().__init__(CPU, "exact")
            self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)

    weights = []
    for precision in (Precision(CPU, "exact"), Scaled()):
        torch.manual_seed(0)
        model = NormalisedToy().train()
        step = TrainingStep(model, build_optimizer(model, name="SGD", lr=0.1), precision)
        report = step.update((b.events, b.boxes) for b in toy_batch([0, 1, 2, 3]).split(2))
        assert report.updated
        weights.append(model.state_dict())
    assert_same(*weights)


class Partly(torch.nn.Module):
    """A parameter has a gradient only if the events of a part say so."""

    def __init__(self):
        super().__init__()
        self.always = torch.nn.Parameter(torch.ones(()))
        self.sometimes = torch.nn.Parameter(torch.ones(()))

    def forward(self, events, targets):
        loss = 6 * self.always
        return {"total_loss": loss + 2 * self.sometimes if events.sum() > 0 else loss}


@pytest.mark.parametrize("first", [0.0, 1.0])
def test_a_missing_gradient_is_zero(first):
    model = Partly()
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    step = TrainingStep(model, optimizer, Precision(CPU, "exact"))
    step.update((torch.tensor([value]), torch.zeros(1, 1, 5)) for value in (first, 1 - first))
    assert (model.always.grad.item(), model.sometimes.grad.item()) == (6.0, 1.0)


def test_outputs_of_a_pass_may_be_overwritten_by_the_next_one():
    """As by a CUDA graph, whose outputs stay at their places."""
    parts = [(b.events, b.boxes) for b in toy_batch([0, 1, 2]).split(3)]
    weights = []
    for overwrites in (False, True):
        torch.manual_seed(0)
        model = NormalisedToy().train()
        optimizer = build_optimizer(model, name="SGD", lr=0.1)
        step = TrainingStep(model, optimizer, Precision(CPU, "exact"), clip_grad=1.0)
        if overwrites:
            step._pass = Overwriting(step._pass)
        losses = [step.update(parts).losses for _ in range(2)]
        weights.append({**model.state_dict(), **losses[0], "last": losses[1]["total_loss"]})
    assert_same(*weights)


class Overwriting:
    """A pass that writes its outputs to the same places each time."""

    def __init__(self, function):
        self.function, self.places = function, None

    def __call__(self, *inputs):
        losses, gradients, state = self.function(*inputs)
        if self.places is None:
            kept = [None if g is None else g.clone() for g in gradients]
            self.places = {n: v.clone() for n, v in losses.items()}, kept
        for name, value in losses.items():
            self.places[0][name].copy_(value)
        for place, gradient in zip(self.places[1], gradients, strict=True):
            if place is not None:
                place.copy_(gradient)
        return (*self.places, state)


@pytest.mark.parametrize("iteration", range(6))
def test_a_run_that_was_stopped_and_resumed_is_the_same_to_the_last_bit(tmp_path, iteration):
    config = PLAN.replace(accumulate=3, print_interval=1)  # 2 steps per epoch, with running norms

    def trainer(path, schedule):
        return build_trainer(
            path,
            config,
            schedule=schedule,
            train_loader=train_loader(batch_size=4, accumulate=3),
        )

    trainer(tmp_path / "whole", StopAfter(-1, 0)).train()
    with pytest.raises(SystemExit):
        trainer(tmp_path / "run", StopAfter(iteration, signal.SIGTERM)).train()
    run, whole = RunDirectory(tmp_path / "run"), RunDirectory(tmp_path / "whole")
    stopped = load_checkpoint(run.latest)
    assert stopped["epoch"] * 2 + stopped["step"] == iteration + 1
    torch.manual_seed(99)
    resumed = trainer(tmp_path / "run", StopAfter(-1, 0))
    resumed.resume(stopped, run.latest)
    resumed.train()
    assert_same(load_checkpoint(run.latest), load_checkpoint(whole.latest))
    assert train_lines(run) == train_lines(whole)


def test_a_batch_is_split_into_equal_parts():
    batch = toy_batch([3, 1, 4, 5])
    one, two = batch.split(2)
    assert (one.indices, two.indices) == ((3, 1), (4, 5))
    assert torch.equal(torch.cat((one.events, two.events)), batch.events)
    assert (two.times_us, two.sequences) == ((4000, 5000), ("toy_1", "toy_1"))
    with pytest.raises(ValueError, match=r"^4 samples cannot be divided into 3 equal parts\.$"):
        list(batch.split(3))
