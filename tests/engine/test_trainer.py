from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from engine_toys import ToyDetector, build_trainer, evaluate, train_loader
from loguru import logger
from trainer_runs import PLAN, STEPS, assert_same, train_lines

from easnn.checkpoints import load_checkpoint
from easnn.data import RepeatFirstBatch
from easnn.engine import RunDirectory, TrainConfig
from easnn.utils.errors import ConfigError


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
    trainer = build_trainer(tmp_path / "run", PLAN, draw=draw, open_writers=lambda: [writer])
    trainer.train()
    assert writer.seen == [(2 * STEPS, {"name": "picture"}), (3 * STEPS, {"name": "picture"})]
    assert_same(
        load_checkpoint(RunDirectory(tmp_path / "run").latest), load_checkpoint(whole_run.latest)
    )


def test_without_moving_average_the_model_itself_is_saved_and_evaluated(tmp_path):
    evaluated = []

    def evaluate_and_note(model):
        evaluated.append(model)
        return evaluate(model)

    model = ToyDetector()
    config = PLAN.replace(max_epoch=1, ema=False)
    build_trainer(tmp_path, config, model=model, evaluate=evaluate_and_note).train()
    assert evaluated == [model]
    checkpoint = load_checkpoint(RunDirectory(tmp_path).latest)
    assert_same(checkpoint["model"], checkpoint["raw_model"])


def test_history_keeps_a_checkpoint_of_every_epoch(tmp_path):
    build_trainer(tmp_path, PLAN.replace(save_history_ckpt=True)).train()
    run = RunDirectory(tmp_path)
    assert [load_checkpoint(run.history(epoch))["epoch"] for epoch in (1, 2, 3)] == [1, 2, 3]


def test_the_history_can_be_bounded(tmp_path):
    config = PLAN.replace(save_history_ckpt=True, max_history=2)
    build_trainer(tmp_path, config).train()
    assert sorted(path.name for path in tmp_path.glob("epoch_*")) == [
        "epoch_2_ckpt.pth",
        "epoch_3_ckpt.pth",
    ]


def test_the_untrained_model_can_be_evaluated_and_kept(tmp_path):
    model = ToyDetector()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    config = PLAN.replace(max_epoch=1, eval_initial=True)
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
    result = build_trainer(
        tmp_path, config, evaluate=with_ap([math.nan, 0.2, 0.5, 0.5, 0.4])
    ).train()
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
    build_trainer(tmp_path, PLAN.replace(max_epoch=1, freeze_bn=True), model=model).train()
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
    build_trainer(
        tmp_path, config, model=model, train_loader=RepeatFirstBatch(train_loader())
    ).train()
    lines = train_lines(RunDirectory(tmp_path))
    assert len(lines) == 30 * STEPS + 1
    assert lines[-2]["total_loss"] < 0.7 * lines[0]["total_loss"]


def test_mixed_precision_on_the_cpu(tmp_path):
    result = build_trainer(tmp_path, PLAN.replace(precision="bf16")).train()
    assert result.last.counts.frames == 5
    assert (
        load_checkpoint(RunDirectory(tmp_path).latest)["raw_model"]["head.weight"].dtype
        == torch.float32
    )


def test_cuda_graphs_on_the_cpu_are_refused(tmp_path):
    with pytest.raises(ConfigError) as info:
        build_trainer(tmp_path, PLAN.replace(cuda_graphs=True))
    assert str(info.value) == (
        "`cuda_graphs` needs one process with a GPU, but this process uses the CPU. Leave it out."
    )


def test_sync_bn_on_the_cpu_is_refused(tmp_path):
    with pytest.raises(ConfigError) as error:
        build_trainer(tmp_path, PLAN.replace(sync_bn=True))
    assert str(error.value) == (
        "`sync_bn` needs GPUs, but this process uses the CPU. Use `freeze_bn` or neither."
    )


def test_the_console_tells_where_a_run_stands(tmp_path):
    lines = []
    handler = logger.add(lines.append, format="{message}")
    build_trainer(tmp_path, PLAN.replace(max_epoch=1)).train()
    logger.remove(handler)
    assert [line.split(" | ")[0] for line in lines[:3]] == [
        f"epoch 1/1 step {i}/5" for i in (2, 4, 5)
    ]
    assert "samples/s" in lines[0]
    assert "waiting for data" in lines[0]
    assert "ETA 00:00:00" in lines[2]
    assert lines[3].startswith("After epoch 1:")
