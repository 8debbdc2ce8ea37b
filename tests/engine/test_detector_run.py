"""A run of the real network, loader and placement at minimum size, stopped and resumed."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest
import torch

from easnn.checkpoints import load_checkpoint, load_weights
from easnn.data import (
    DetectionDataset,
    Frame,
    LetterboxPolicy,
    RandomPlacementPolicy,
    build_eval_loader,
    build_train_loader,
    prepare_batch,
)
from easnn.engine import RunDirectory, TrainConfig, Trainer, build_writers, evaluate
from easnn.evaluation import build_evaluator
from easnn.inference import Predictor
from easnn.models import DetectorConfig, SpikeMode, build_detector
from easnn.optim import build_optimizer
from easnn.representations import FrameSpec

CPU = torch.device("cpu")
OUT_HW = (32, 64)
CONFIG = DetectorConfig(
    num_classes=2,
    depth=0.33,
    width=0.125,
    use_spike=SpikeMode.BACKBONE,
    T=2,
    embedding="arsnn",
    embedding_depth=2,
    embedding_ksize=5,
)


class Noise(DetectionDataset):
    """Frames of noise with one box each; frame 0 has none."""

    name, split, sensor_hw, class_names = "noise", "train", (24, 48), ("car", "pedestrian")

    def __len__(self):
        return 7

    def load(self, index):
        random = torch.Generator().manual_seed(index)
        counts = torch.poisson(torch.ones(1, 3, 2, *self.sensor_hw), generator=random).to(
            torch.uint8
        )
        boxes = torch.tensor([[index % 2, index, 2, 12, 10]], dtype=torch.float32)[: int(index > 0)]
        return Frame(counts, boxes, 1000 * index, "noise")


def build_run(path, schedule, *, num_workers=0):
    torch.manual_seed(0)
    model = build_detector(CONFIG)
    run = RunDirectory(path)
    run.results.mkdir(parents=True, exist_ok=True)
    loading = {"num_workers": num_workers, "device": CPU}
    eval_loader = build_eval_loader(Noise(), LetterboxPolicy(OUT_HW), batch_size=4, **loading)
    trainer = Trainer(
        model=model,
        optimizer=build_optimizer(model, name="ADAM", lr=0.01),
        schedule=schedule,
        train_loader=build_train_loader(
            Noise(), RandomPlacementPolicy(OUT_HW, jitter=0.3), batch_size=2, seed=5, **loading
        ),
        prepare=partial(prepare_batch, out_hw=OUT_HW),
        evaluate=lambda model: evaluate(
            Predictor(model, FrameSpec(Tm=3), input_hw=OUT_HW, confidence=0.001),
            eval_loader,
            build_evaluator("coco", Noise.class_names, split="val", sensor_hw=Noise.sensor_hw),
        ),
        config=TrainConfig(max_epoch=2, eval_interval=1, print_interval=2),
        run=run,
        device=CPU,
        experiment={},
        open_writers=partial(build_writers, None, run, experiment={}),
    )
    return trainer, run


def constant(iteration):
    return 0.01


def stopping(iteration):
    if iteration == 5:
        os.kill(os.getpid(), signal.SIGTERM)
    return 0.01


def test_a_detector_trains_stops_and_goes_on_exactly(tmp_path):
    trainer, whole = build_run(tmp_path / "whole", constant)
    result = trainer.train()
    assert result.last.counts.frames == 7

    trainer, run = build_run(tmp_path / "run", stopping, num_workers=1)
    with pytest.raises(SystemExit):
        trainer.train()
    stopped = load_checkpoint(run.latest)
    assert (stopped["epoch"], stopped["step"]) == (1, 2)
    trainer, _ = build_run(tmp_path / "run", constant, num_workers=2)
    trainer.resume(stopped, run.latest)
    trainer.train()

    one, two = load_checkpoint(whole.latest), load_checkpoint(run.latest)
    for kind in ("model", "raw_model"):
        assert all(torch.equal(one[kind][name], two[kind][name]) for name in one[kind])
    assert whole.result(2).read_text() == run.result(2).read_text()

    model = build_detector(CONFIG)
    assert load_weights(model, two["model"], strict=True, source="c.pth").complete
