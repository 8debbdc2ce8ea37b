from __future__ import annotations

import dataclasses
import json
import math
import os
import signal

import pytest
import torch
from engine_toys import GLOBAL_BATCH, LENGTH, ToyDetector, build_trainer, evaluate, train_loader
from loguru import logger

from easnn.engine import RepeatFirstBatch, RunDirectory, TrainConfig, load_checkpoint
from easnn.utils.errors import CheckpointError, ConfigError, TrainingError

STEPS = -(-LENGTH // GLOBAL_BATCH)  # 5
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
    measured = ("samples_per_s", "data_wait_share", "memory_mb", "time")
    return [{k: v for k, v in line.items() if k not in measured} for line in lines]


@pytest.fixture
def whole_run(tmp_path):
    """A run that nothing interrupts."""
    build_trainer(tmp_path / "whole", PLAN).train()
    return RunDirectory(tmp_path / "whole")


class StopAfter:
    """A learning-rate schedule that sends a signal to this process in one iteration."""

    def __init__(self, iteration, number):
        self.iteration, self.number = iteration, number

    def __call__(self, iteration):
        if iteration == self.iteration:
            os.kill(os.getpid(), self.number)
        return 0.01 * 0.5 * (1 + math.cos(math.pi * iteration / (3 * STEPS)))


def test_files_of_a_run(whole_run):
    assert sorted(p.name for p in whole_run.path.iterdir()) == [
        "best_ckpt.pth",
        "latest_ckpt.pth",
        "metrics.jsonl",
        "results",
    ]
    assert sorted(p.name for p in whole_run.results.iterdir()) == ["epoch_2.json", "epoch_3.json"]
    latest = load_checkpoint(whole_run.latest)
    assert (latest["epoch"], latest["step"], latest["ema_updates"]) == (3, 0, 3 * STEPS)
    assert latest["experiment"] == {"seed": 3}


def test_metrics_are_written_at_the_interval_and_at_the_end_of_each_epoch(whole_run):
    lines = train_lines(whole_run)
    assert [(line["kind"], line["epoch"], line["iteration"]) for line in lines] == [
        *[("train", 1, i) for i in (2, 4, 5)],
        *[("train", 2, i) for i in (7, 9, 10)],
        ("eval", 2, 10),
        *[("train", 3, i) for i in (12, 14, 15)],
        ("eval", 3, 15),
    ]
    assert lines[1]["lr"] == pytest.approx(0.005 * (1 + math.cos(math.pi * 3 / 15)))
    assert {"total_loss", "iou_loss", "num_fg", "grad_norm", "step"} <= lines[0].keys()
    assert {"ap", "ap50", "ar100"} <= lines[6].keys()


def test_other_protocols_have_curves_of_their_own(tmp_path):
    def evaluate_twice(model):
        result = evaluate(model)
        return dataclasses.replace(result, beside=(result,))

    build_trainer(tmp_path, PLAN, evaluate=evaluate_twice).train()
    *_, line = train_lines(RunDirectory(tmp_path))
    assert line["kind"] == "eval"
    assert line["coco_ap50"] == line["ap50"]


@pytest.mark.parametrize("iteration", [1, STEPS - 1, STEPS, 2 * STEPS - 1, 3 * STEPS - 1])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_was_stopped_and_resumed_is_the_same_to_the_last_digit(
    tmp_path, whole_run, iteration, number, code
):
    with pytest.raises(SystemExit) as stop:
        build_trainer(tmp_path / "run", PLAN, schedule=StopAfter(iteration, number)).train()
    assert stop.value.code == code
    run = RunDirectory(tmp_path / "run")
    stopped = load_checkpoint(run.latest)
    assert stopped["epoch"] * STEPS + stopped["step"] == iteration + 1
    torch.manual_seed(99)
    trainer = build_trainer(tmp_path / "run", PLAN, resume=True)
    trainer.resume(stopped, run.latest)
    trainer.train()
    assert_same(load_checkpoint(run.latest), load_checkpoint(whole_run.latest))
    assert_same(load_checkpoint(run.best), load_checkpoint(whole_run.best))
    assert train_lines(run) == train_lines(whole_run)
    assert {p.name: p.read_text() for p in run.results.iterdir()} == {
        p.name: p.read_text() for p in whole_run.results.iterdir()
    }


class Pictures:
    """A writer that keeps the pictures that it is given."""

    def __init__(self):
        self.seen = []

    def continue_from(self, iteration, *, evaluates): ...

    def write(self, kind, iteration, values): ...

    def write_pictures(self, iteration, pictures):
        self.seen.append((iteration, pictures))

    def close(self): ...


def test_samples_are_drawn_after_each_evaluation_and_change_nothing(tmp_path, whole_run):
    def draw(model):
        assert model is trainer.evaluated_model
        model.eval()
        return {"name": "picture"}

    writer = Pictures()
    trainer = build_trainer(tmp_path / "run", PLAN, draw=draw, writers=[writer])
    trainer.train()
    assert writer.seen == [(2 * STEPS, {"name": "picture"}), (3 * STEPS, {"name": "picture"})]
    assert_same(load_checkpoint(RunDirectory(tmp_path / "run").latest), load_checkpoint(whole_run.latest))


def test_a_run_killed_later_than_its_last_checkpoint_repeats_what_was_lost(tmp_path, whole_run):
    config = dataclasses.replace(PLAN, ckpt_interval_steps=3)

    class KilledError(Exception):
        pass

    def schedule(iteration):
        if iteration == STEPS + 4:  # one step after the checkpoint, and after a line of metrics
            raise KilledError
        return StopAfter(-1, 0)(iteration)

    with pytest.raises(KilledError):
        build_trainer(tmp_path / "run", config, schedule=schedule).train()
    run = RunDirectory(tmp_path / "run")
    assert load_checkpoint(run.latest)["step"] == 3
    with run.metrics.open("a") as file:
        file.write('{"kind": "train", "iterat')  # the crash cut a line
    trainer = build_trainer(tmp_path / "run", config, resume=True)
    trainer.resume(load_checkpoint(run.latest), run.latest)
    trainer.train()
    assert_same(load_checkpoint(run.latest), load_checkpoint(whole_run.latest))
    assert train_lines(run) == train_lines(whole_run)


def test_a_run_stopped_in_an_evaluation_resumes_with_that_evaluation(tmp_path, whole_run):
    def interrupted(model):
        os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(model)

    with pytest.raises(SystemExit) as stop:
        build_trainer(tmp_path / "run", PLAN, evaluate=interrupted).train()
    assert stop.value.code == 143
    run = RunDirectory(tmp_path / "run")
    stopped = load_checkpoint(run.latest)
    assert (stopped["epoch"], stopped["step"]) == (1, STEPS)
    trainer = build_trainer(tmp_path / "run", PLAN, resume=True)
    trainer.resume(stopped, run.latest)
    trainer.train()
    assert_same(load_checkpoint(run.latest), load_checkpoint(whole_run.latest))
    assert train_lines(run) == train_lines(whole_run)


def test_signals_are_left_alone_outside_of_training(whole_run):
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_loss_that_is_not_finite_stops_the_run_before_the_update(tmp_path):
    model = ToyDetector()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    first = next(iter(train_loader()))
    with pytest.raises(TrainingError) as error:
        build_trainer(tmp_path, PLAN, model=model, train_loader=train_loader(spoil=first.indices[1])).train()
    samples = [f"{name} at {time} µs" for name, time in zip(first.sequences, first.times_us, strict=True)]
    assert str(error.value) == (
        "A loss is not finite in epoch 1, step 1: process 0: total_loss nan, iou_loss nan, "
        f"num_fg nan, gradient norm nan; samples {', '.join(samples)}. The weights were not changed. Lower "
        "`basic_lr_per_img`, train without --fp16, or look at these samples."
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
        endless = torch.sqrt(0 * next(self.parameters()).sum())  # the slope of the root at 0 is infinite
        return {**outputs, "total_loss": outputs["total_loss"] + endless}


def test_steps_whose_gradient_is_not_finite_are_left_out(tmp_path):
    messages = []
    sink = logger.add(lambda message: messages.append(str(message)), level="WARNING", format="{message}")
    try:
        build_trainer(tmp_path, PLAN, model=Steep(range(2, 2 + 3))).train()
    finally:
        logger.remove(sink)
    assert [message.split(": ")[0] for message in messages] == [
        f"Epoch 1, step {n} is left out" for n in (2, 3, 4)
    ]
    assert ": its gradient is not finite (process 0: total_loss " in messages[0]
    latest = load_checkpoint(RunDirectory(tmp_path).latest)
    assert (latest["epoch"], latest["ema_updates"]) == (3, 3 * STEPS - 3)
    assert all(weights.isfinite().all() for weights in latest["raw_model"].values())


def test_a_run_whose_gradients_are_never_finite_stops(tmp_path):
    model = Steep(range(1, 1000))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pytest.raises(TrainingError) as error:
        build_trainer(tmp_path, dataclasses.replace(PLAN, max_epoch=10), model=model).train()
    message = str(error.value)
    last = f"epoch 4, step {20 - 3 * STEPS}"
    assert message.startswith(
        f"The gradient is not finite in 20 steps in a row, up to {last}: process 0: total_"
    )
    assert message.endswith(
        ". The weights were not changed. It grows without bound where nothing fires: lower `thresh`, take a larger "
        "batch (-b), or begin without `write_zero`. If that is not it, lower `basic_lr_per_img`, or train without "
        "--fp16."
    )
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())


def test_without_moving_average_the_model_itself_is_saved_and_evaluated(tmp_path):
    evaluated = []

    def evaluate_and_note(model):
        evaluated.append(model)
        return evaluate(model)

    model = ToyDetector()
    config = dataclasses.replace(PLAN, max_epoch=1, ema=False)
    build_trainer(tmp_path, config, model=model, evaluate=evaluate_and_note).train()
    assert evaluated == [model]
    checkpoint = load_checkpoint(RunDirectory(tmp_path).latest)
    assert_same(checkpoint["model"], checkpoint["raw_model"])


def test_history_keeps_a_checkpoint_of_every_epoch(tmp_path):
    build_trainer(tmp_path, dataclasses.replace(PLAN, save_history_ckpt=True)).train()
    run = RunDirectory(tmp_path)
    assert [load_checkpoint(run.history(epoch))["epoch"] for epoch in (1, 2, 3)] == [1, 2, 3]


def test_the_untrained_model_can_be_evaluated_and_kept(tmp_path):
    model = ToyDetector()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    config = dataclasses.replace(PLAN, max_epoch=1, eval_initial=True)
    build_trainer(tmp_path, config, model=model).train()
    run = RunDirectory(tmp_path)
    assert_same(dict(load_checkpoint(run.initial)["model"]), start)
    assert run.result(0).exists()
    first = train_lines(run)[0]
    assert (first["kind"], first["epoch"], first["iteration"]) == ("eval", 0, 0)


def with_ap(values):
    """Return an evaluation that gives these APs one after the other."""
    values = iter(values)
    return lambda model: dataclasses.replace(evaluate(model), ap=next(values))


def test_the_best_checkpoint_is_that_of_the_best_ap(tmp_path):
    config = TrainConfig(max_epoch=5, eval_interval=1)
    result = build_trainer(tmp_path, config, evaluate=with_ap([math.nan, 0.2, 0.5, 0.5, 0.4])).train()
    assert (result.best_ap, result.best_epoch) == (0.5, 3)
    best = load_checkpoint(RunDirectory(tmp_path).best)
    assert (best["best_ap"], best["best_epoch"], best["ema_updates"]) == (0.5, 3, 3 * STEPS)
    assert result.last.ap == 0.4


def test_patience_stops_the_run_early(tmp_path):
    config = TrainConfig(max_epoch=20, eval_interval=2, patience=2)
    result = build_trainer(tmp_path, config, evaluate=with_ap([0.1, 0.3, 0.2, 0.3, 0.9])).train()
    assert (result.best_ap, result.best_epoch) == (0.3, 4)
    assert load_checkpoint(RunDirectory(tmp_path).latest)["epoch"] == 8


def test_frozen_batch_norm_keeps_its_statistics(tmp_path):
    model = ToyDetector()
    build_trainer(tmp_path, dataclasses.replace(PLAN, max_epoch=1, freeze_bn=True), model=model).train()
    assert model.norm.running_mean.tolist() == [0.0, 0.0, 0.0]
    assert not torch.equal(model.norm.weight, torch.ones(3))


def test_a_run_can_begin_with_a_later_epoch(tmp_path):
    trainer = build_trainer(tmp_path, PLAN)
    trainer.start_from(2)
    trainer.train()
    assert [line["iteration"] for line in train_lines(RunDirectory(tmp_path))] == [12, 14, 15, 15]


def test_one_batch_can_be_repeated(tmp_path):
    model = ToyDetector()
    config = TrainConfig(max_epoch=30, eval_interval=30, print_interval=1, ema=False)
    build_trainer(tmp_path, config, model=model, train_loader=RepeatFirstBatch(train_loader())).train()
    lines = train_lines(RunDirectory(tmp_path))
    assert len(lines) == 30 * STEPS + 1
    assert lines[-2]["total_loss"] < 0.7 * lines[0]["total_loss"]


def test_mixed_precision_on_the_cpu(tmp_path):
    result = build_trainer(tmp_path, dataclasses.replace(PLAN, fp16=True)).train()
    assert result.last.counts.frames == 5
    assert load_checkpoint(RunDirectory(tmp_path).latest)["raw_model"]["head.weight"].dtype == torch.float32


def test_sync_bn_on_the_cpu_is_refused(tmp_path):
    with pytest.raises(ConfigError) as error:
        build_trainer(tmp_path, dataclasses.replace(PLAN, sync_bn=True))
    assert str(error.value) == (
        "`sync_bn` needs GPUs, but this process computes on the CPU. Use `freeze_bn` or neither."
    )


class TestResumeRefuses:
    @pytest.fixture
    def stopped(self, tmp_path):
        with pytest.raises(SystemExit):
            build_trainer(tmp_path, PLAN, schedule=StopAfter(1, signal.SIGINT)).train()
        return load_checkpoint(RunDirectory(tmp_path).latest)

    def resume(self, tmp_path, stopped, **changes):
        with pytest.raises(CheckpointError) as error:
            build_trainer(tmp_path, PLAN, resume=True, **changes).resume(stopped, "c.pth")
        return str(error.value)

    def test_another_model(self, tmp_path, stopped):
        model = ToyDetector()
        model.head = torch.nn.Linear(3, 9)
        assert "2 of another shape: head.weight [7, 3], not [9, 3], head.bias [7], not [9]" in self.resume(
            tmp_path, stopped, model=model
        )

    def test_another_optimizer(self, tmp_path, stopped):
        stopped["optimizer"]["param_groups"][0]["momentum"] = 0.9
        assert self.resume(tmp_path, stopped) == (
            "The optimiser state in c.pth is of another optimiser or of other groups of parameters. Resume "
            "with the same `optimizer` and model keys, or start a new run from its weights (-c without "
            "--resume)."
        )

    def test_another_number_of_steps(self, tmp_path, stopped):
        stopped["steps_per_epoch"] = 7
        assert self.resume(tmp_path, stopped) == (
            "c.pth stopped at step 2 of an epoch of 7 steps, but an epoch now has 5. Resume with the same "
            "data set and batch size (-b)."
        )


def test_the_console_tells_where_a_run_stands(tmp_path):
    lines = []
    handler = logger.add(lines.append, format="{message}")
    build_trainer(tmp_path, dataclasses.replace(PLAN, max_epoch=1)).train()
    logger.remove(handler)
    assert [line.split(" | ")[0] for line in lines[:3]] == [f"epoch 1/1 step {i}/5" for i in (2, 4, 5)]
    assert "samples/s" in lines[0]
    assert "waiting for data" in lines[0]
    assert "ETA 00:00:00" in lines[2]
    assert lines[3].startswith("After epoch 1:")
