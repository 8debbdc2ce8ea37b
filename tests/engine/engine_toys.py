"""A small model and small data with the interfaces of the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from easnn.data import DetectionBatch, EpochSampler, EvaluationSampler
from easnn.engine import RunDirectory, TrainConfig, Trainer, build_writers, freeze_parts
from easnn.engine import evaluate as evaluate_predictor
from easnn.evaluation import EvaluationResult, build_evaluator
from easnn.inference import Predictor
from easnn.ops import Placement
from easnn.optim import build_optimizer, build_schedule
from easnn.representations import FrameSpec
from easnn.utils.distributed import rank, sum_across_ranks, world_size

SENSOR_HW = (8, 8)
CPU = torch.device("cpu")


class ToyDetector(nn.Module):
    """Trained to put its only box where the first box of a frame is."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(2, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 7)
        self.unused = nn.Parameter(torch.ones(2))  # no gradient, as in parts of the sampler

    def forward(self, events: Tensor, targets: Tensor | None = None) -> Tensor | dict[str, Tensor]:
        features = self.norm(self.embedding(events.sum(dim=(1, 2)))).relu().mean(dim=(-2, -1))
        raw = self.head(features)[:, None]
        if targets is None:
            return torch.cat(
                (raw[..., :2] + 4, raw[..., 2:4].exp(), raw[..., 4:].sigmoid()), dim=-1
            )
        squares = (raw[:, 0, :4] - targets[:, 0, 1:]).square()
        # As in the real loss, the mean over the processes is the loss of the global batch.
        iou_loss = squares.sum() / targets.new_tensor(GLOBAL_BATCH) * world_size()
        return {
            "total_loss": iou_loss,
            "iou_loss": iou_loss.detach(),
            "num_fg": iou_loss.detach() * 0 + 1,
        }


class NormalisedToy(ToyDetector):
    """Its loss is a sum divided by what the boxes of all processes say, as that of the detector.

    Args:
        by_size: whether it is divided by the widths of the boxes instead of by their number.
    """

    def __init__(self, *, by_size: bool = True) -> None:
        super().__init__()
        self.by_size = by_size

    def forward(self, events: Tensor, targets: Tensor | None = None) -> Tensor | dict[str, Tensor]:
        result = super().forward(events, targets)
        if targets is None or isinstance(result, Tensor):
            return result
        widths = targets[:, 0, 3]
        count = sum_across_ranks((widths if self.by_size else torch.ones_like(widths)).sum())
        losses = {name: result[name] * GLOBAL_BATCH / count for name in ("total_loss", "iou_loss")}
        return {**result, **losses}


class DoubleInput(nn.Module):
    """Gives a float64 model its input."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, events: Tensor) -> Tensor:
        return self.model(events.double())


GLOBAL_BATCH = 4
LENGTH = 18


class ToyLoader:
    """Batches of frames, pure functions of their index; the events of ``spoil`` are infinite."""

    def __init__(self, sampler: EpochSampler | EvaluationSampler, spoil: int | None = None) -> None:
        self.sampler = sampler
        self._spoil = spoil

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[DetectionBatch]:
        for requests in self.sampler:
            yield toy_batch([request.index for request in requests], self._spoil)


def toy_batch(indices: list[int], spoil: int | None = None) -> DetectionBatch:
    rngs = [np.random.default_rng(index) for index in indices]
    events = torch.stack(
        [torch.from_numpy(rng.poisson(1.0, (1, 2, 2, *SENSOR_HW))) for rng in rngs]
    ).float()
    if spoil in indices:
        events[indices.index(spoil)] = torch.inf
    boxes = torch.tensor(
        [[[i % 2, i % 5, i % 3, 1 + i % 3, 2]] for i in indices], dtype=torch.float32
    )
    return DetectionBatch(
        events=events,
        boxes=boxes,
        placements=(Placement(8, 8),) * len(indices),
        indices=tuple(indices),
        times_us=tuple(1000 * i for i in indices),
        sequences=tuple(f"toy_{i // 4}" for i in indices),
    )


def prepare(batch: DetectionBatch) -> tuple[Tensor, Tensor]:
    return batch.events, batch.boxes


def prepare_double(batch: DetectionBatch) -> tuple[Tensor, Tensor]:
    return batch.events.double(), batch.boxes.double()


def train_loader(
    spoil: int | None = None, *, batch_size: int = GLOBAL_BATCH, accumulate: int = 1
) -> ToyLoader:
    sampler = EpochSampler(
        LENGTH,
        batch_size,
        seed=3,
        rank=rank(),
        world_size=world_size(),
        accumulate=accumulate,
    )
    return ToyLoader(sampler, spoil)


def evaluate(model: nn.Module, length: int = 5, batch_size: int = 2) -> EvaluationResult:
    sampler = EvaluationSampler(length, batch_size, rank=rank(), world_size=world_size())
    evaluator = build_evaluator("coco", ["car", "pedestrian"], split="val", sensor_hw=SENSOR_HW)
    return evaluate_predictor(toy_predictor(model), ToyLoader(sampler), evaluator)


def toy_predictor(model: nn.Module) -> Predictor:
    """Return the predictor of a toy, whose input has the size of the sensor."""
    if next(model.parameters()).dtype == torch.double:
        model = DoubleInput(model)
    return Predictor(model, FrameSpec(Tm=2), input_hw=SENSOR_HW, confidence=0.01, nms_iou=0.5)


def build_trainer(path: Path, config: TrainConfig, **changes: object) -> Trainer:
    """Build a run of the toys; ``changes`` replace arguments of the trainer."""
    torch.manual_seed(0)
    model = changes.pop("model", None) or ToyDetector()
    freeze_parts(model, config.freeze)
    loader = changes.pop("train_loader", None) or train_loader()
    run = RunDirectory(path)
    run.results.mkdir(parents=True, exist_ok=True)
    lr = 0.01
    arguments = {
        "model": model,
        "optimizer": build_optimizer(model, name="ADAM", lr=lr, emb_lr=0.002),
        "schedule": build_schedule(
            "cos", lr, steps_per_epoch=len(loader), max_epoch=config.max_epoch
        ),
        "train_loader": loader,
        "prepare": prepare,
        "evaluate": evaluate,
        "config": config,
        "run": run,
        "device": CPU,
        "experiment": {"seed": 3},
        "open_writers": partial(build_writers, None, run, experiment={}),
    }
    return Trainer(**{**arguments, **changes})


def train_double(path: Path, config: TrainConfig) -> float | None:
    """Train in float64, so that two runs differ only by the order of additions."""
    torch.manual_seed(0)
    return (
        build_trainer(path, config, model=ToyDetector().double(), prepare=prepare_double)
        .train()
        .best_ap
    )


def wait_for_signal(path: str) -> None:
    """Train until a signal comes."""
    build_trainer(
        Path(path), TrainConfig(max_epoch=10**6, eval_interval=10**6, print_interval=1)
    ).train()
