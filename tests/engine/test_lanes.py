"""Training in lanes: exact for any number of workers, when resumed, and in several processes."""

from __future__ import annotations

import os
import re
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from worlds import World

from easnn.checkpoints import load_checkpoint, save_checkpoint
from easnn.data import (
    UNLABELLED,
    DetectionBatch,
    DetectionDataset,
    Frame,
    RandomPlacementPolicy,
    Timeline,
    build_lane_loader,
    prepare_batch,
)
from easnn.engine import RunDirectory, TrainConfig, Trainer, build_writers
from easnn.engine.lanes import Lanes
from easnn.evaluation import build_evaluator
from easnn.models import DetectorConfig, SpikeMode, build_detector
from easnn.ops import Placement
from easnn.optim import build_optimizer
from easnn.utils.distributed import rank
from easnn.utils.errors import CheckpointError

CPU = torch.device("cpu")
OUT_HW = (32, 64)
CONFIG = DetectorConfig(
    num_classes=2, depth=0.33, width=0.0625, T=2, memory="lstm", memory_dim=4, act="relu"
)
CLIP = 2


class Noise(DetectionDataset):
    """Two recordings of noise with 9 and 5 windows, of which every third has a box."""

    name, split, sensor_hw, class_names = "noise", "train", (24, 48), ("car", "pedestrian")
    lengths = (9, 5)

    def __len__(self) -> int:
        return 5

    def timeline(self) -> Timeline:
        ends = np.concatenate([np.arange(n) for n in self.lengths])
        labelled = ends % 3 == 2
        labelled[-1] = True
        frames = np.where(labelled, np.cumsum(labelled) - 1, UNLABELLED)
        recordings = np.repeat([0, 1], self.lengths).astype(np.int32)
        return Timeline(recordings, ends, frames, ends == 0)

    def load(self, index: int) -> Frame:
        window = int(np.flatnonzero(self.timeline().frames == index)[0])
        boxes = torch.tensor([[index % 2, 2 * index, 2, 12, 10]], dtype=torch.float32)
        return self._frame(window)._replace(boxes=boxes)

    def load_between(self, recording: int, end: int) -> Frame:
        return self._frame(end + recording * self.lengths[0])

    def _frame(self, window: int) -> Frame:
        random = torch.Generator().manual_seed(window)
        counts = torch.poisson(torch.ones(1, 3, 2, *self.sensor_hw), generator=random)
        return Frame(counts.to(torch.uint8), torch.zeros(0, 5), 1000 * window, "noise")


def nothing_found(model: torch.nn.Module):
    evaluator = build_evaluator("coco", Noise.class_names, split="val", sensor_hw=Noise.sensor_hw)
    evaluator.reset()
    return evaluator.evaluate()


def build_run(path: Path, schedule, *, num_workers=0, streams=2, **changes) -> tuple:
    torch.manual_seed(0)
    double = changes.pop("double", False)
    model = build_detector(CONFIG.replace(**changes))
    torch.nn.init.constant_(model.memory.levels[1].alpha, 0.5)
    model = model.double() if double else model
    run = RunDirectory(path)
    run.results.mkdir(parents=True, exist_ok=True)
    dtype = torch.double if double else torch.float
    loader = build_lane_loader(
        Noise(),
        RandomPlacementPolicy(OUT_HW, jitter=0.3),
        batch_size=3,
        clip=CLIP,
        streams=streams,
        seed=5,
        num_workers=num_workers,
        device=CPU,
    )
    trainer = Trainer(
        model=model,
        optimizer=build_optimizer(model, name="ADAM", lr=0.01),
        schedule=schedule,
        train_loader=loader,
        prepare=partial(prepare_batch, out_hw=OUT_HW, dtype=dtype),
        evaluate=nothing_found,
        config=TrainConfig(
            max_epoch=2, eval_interval=2, print_interval=1, clip=CLIP, ema=False, freeze_bn=double
        ),
        run=run,
        device=CPU,
        experiment={},
        open_writers=partial(build_writers, None, run, experiment={}),
    )
    return trainer, run


def constant(iteration: int) -> float:
    return 0.01


def stopping(iteration: int) -> float:
    if iteration == 5:
        os.kill(os.getpid(), signal.SIGTERM)
    return 0.01


@pytest.mark.parametrize("changes", [{}, {"memory": "spiking", "use_spike": SpikeMode.BACKBONE}])
def test_a_stopped_run_goes_on_exactly_with_the_memory_of_its_lanes(tmp_path, changes) -> None:
    trainer, whole = build_run(tmp_path / "whole", constant, **changes)
    assert trainer.steps_per_epoch == 4  # 14 windows in two streams of clips of two
    trainer.train()

    trainer, run = build_run(tmp_path / "run", stopping, num_workers=1, **changes)
    with pytest.raises(SystemExit):
        trainer.train()
    stopped = load_checkpoint(run.latest)
    assert (stopped["epoch"], stopped["step"]) == (1, 2)
    channels = 4 if changes else 8
    assert [tuple(level.shape) for level in stopped["lanes"]] == [
        (3, channels, 4, 8),
        (3, channels, 2, 4),
        (3, channels, 1, 2),
    ]
    trainer, _ = build_run(tmp_path / "run", constant, num_workers=2, **changes)
    trainer.resume(stopped, run.latest)
    trainer.train()
    one, two = load_checkpoint(whole.latest), load_checkpoint(run.latest)
    assert "lanes" not in one  # it is empty at the start of the next epoch
    assert all(torch.equal(one["raw_model"][n], two["raw_model"][n]) for n in one["raw_model"])

    # The memory is part of that: with another one, the run goes on in another way.
    trainer, _ = build_run(tmp_path / "run", constant, **changes)
    trainer.resume({**stopped, "lanes": [level + 1 for level in stopped["lanes"]]}, run.latest)
    trainer.train()
    other = load_checkpoint(run.latest)["raw_model"]
    assert not all(torch.equal(other[name], one["raw_model"][name]) for name in other)


def test_a_damaged_memory_is_named(tmp_path: Path) -> None:
    trainer, run = build_run(tmp_path, stopping)
    with pytest.raises(SystemExit):
        trainer.train()
    stopped = load_checkpoint(run.latest)
    x3, x4, x5 = stopped["lanes"]
    for lanes in (7, [x3, x4], [x3, x4[:1], x5]):
        trainer, _ = build_run(tmp_path, constant)
        with pytest.raises(CheckpointError, match=r"^`lanes` of .* cannot be that of a run"):
            trainer.resume({**stopped, "lanes": lanes}, run.latest)
    trainer, _ = build_run(tmp_path, constant)
    trainer.resume({**stopped, "lanes": [level[:2] for level in stopped["lanes"]]}, run.latest)
    message = (
        "The checkpoint has the memory of 2 clips for this process, but a step now has 3. Resume "
        "with the same batch size (-b)."
    )
    with pytest.raises(CheckpointError, match=f"^{re.escape(message)}$"):
        trainer.train()


def train_together(path: Path) -> dict[str, torch.Tensor]:
    """Train in float64; return the weights. A process may have no labelled window in a step."""
    trainer, run = build_run(path, constant, double=True)
    trainer._loader.sampler.start_at(0)
    labelled = [sum(index != UNLABELLED for index in batch.indices) for batch in trainer._loader]
    trainer.train()
    stored = load_checkpoint(run.latest)["raw_model"] if rank() == 0 else {}
    return {"labelled": labelled, "weights": {n: w.tolist() for n, w in stored.items()}}


def test_several_processes_train_what_one_trains(tmp_path: Path) -> None:
    alone = train_together(tmp_path / "alone")
    with World(train_together, (tmp_path / "world",), 2, tmp_path) as world:
        first, second = world.results()
    together = [a + b for a, b in zip(first["labelled"], second["labelled"], strict=True)]
    assert together == alone["labelled"]
    assert 0 in (*first["labelled"], *second["labelled"])
    for name, weight in alone["weights"].items():
        np.testing.assert_allclose(first["weights"][name], weight, rtol=1e-6, atol=1e-9)


def test_a_process_without_a_labelled_window_asks_about_one_without_weight() -> None:
    def batch(indices: tuple[int, ...]) -> DetectionBatch:
        n = len(indices)
        return DetectionBatch(
            torch.zeros(n, 1), torch.zeros(n, 1, 5), (Placement(1, 1),) * n, indices,
            (0,) * n, ("a",) * n, (True, False) * (n // 2),
        )  # fmt: skip

    lanes, targets = Lanes(2), torch.arange(20.0).view(4, 1, 5)
    wanted, clips = lanes.clips_of(batch((UNLABELLED, 4, 7, UNLABELLED)), targets)
    assert torch.equal(wanted, targets[[1, 2]])
    assert (clips.count, clips.state, clips.weight) == (2, None, 1)
    assert clips.begins.tolist() == [[True, False], [True, False]]
    assert clips.labelled.tolist() == [1, 2]
    wanted, clips = lanes.clips_of(batch((UNLABELLED,) * 4), targets)
    assert torch.equal(wanted, torch.zeros(1, 1, 5))
    assert (clips.labelled.tolist(), clips.weight) == ([0], 0)
    assert lanes.saved() is None


def test_another_number_of_processes_takes_its_part(monkeypatch, tmp_path: Path) -> None:
    lanes = Lanes(2)
    saved = [torch.arange(5.0).view(5, 1, 1, 1)] * 3
    save_checkpoint(tmp_path / "c.pth", {"lanes": saved})  # holds plain tensors
    parts = []
    for process in range(2):
        monkeypatch.setattr("easnn.engine.lanes.rank", lambda process=process: process)
        monkeypatch.setattr("easnn.engine.lanes.world_size", lambda: 2)
        lanes.restore(saved, CPU)
        parts.append(lanes.saved()[0].flatten().tolist())
    assert parts == [[0, 1], [2, 3, 4]]
