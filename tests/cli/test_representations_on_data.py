"""Training and evaluation of every representation with every embedding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from easnn.engine import evaluation_of
from easnn.engine.step import TrainingStep
from easnn.exp import EventExp, get_exp
from easnn.models.config import EmbeddingKind
from easnn.representations import REPRESENTATIONS
from easnn.utils.precision import Precision

CPU = torch.device("cpu")
EMBEDDINGS: list[EmbeddingKind] = ["arsnn", "rsnn", "snn", "count"]
VARIANTS = [
    *REPRESENTATIONS,
    "voxel_cube measure timesurface",
    "sum measure timesurface",
    "timesurface slicing window tau 10",
]


def experiment(root: Path, embedding: str, variant: str, words: str = "") -> EventExp:
    exp = get_exp(exp_name="e-yolox-demo")
    Tm = 1 if variant.startswith("sum") else 3
    text = (
        f"embedding {embedding} aggregation {variant} Tm {Tm} data_dir {root} width 0.0625 "
        f"input_size 32,64 test_size 32,64 T 2 data_num_workers 0 {words}"
    )
    exp.merge(text.split())
    exp.validate()
    return exp


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_training_and_evaluation(raw_dataset: Path, embedding: str, variant: str) -> None:
    exp = experiment(raw_dataset, embedding, variant, "speed_aug True")
    torch.manual_seed(0)
    model = exp.get_model()
    step = TrainingStep(model, exp.get_optimizer(model, batch_size=2), Precision(CPU, "exact"))
    loader, prepare = exp.get_train_loader(batch_size=2, device=CPU), exp.get_prepare(training=True)
    steps = 0
    for batch in loader:
        events, targets = prepare(batch)
        assert events.shape == (2, 1, exp.Tm, exp.frame_spec().channels, 32, 64)
        assert batch.events.element_size() <= 2
        assert events.abs().sum() > 0
        report = step(events, targets)
        assert report.finite
        assert report.updated
        steps += 1
    assert steps == 2
    result = evaluation_of(exp, batch_size=2, device=CPU)(model)
    assert result.counts.frames == 4


def test_speed_augmentation_is_for_training_only(raw_dataset: Path) -> None:
    plain = experiment(raw_dataset, "arsnn", "micro_sum")
    sped = experiment(raw_dataset, "arsnn", "micro_sum", "speed_aug True")
    train, evaluation = (
        [
            sum(int(batch.events.sum()) for batch in getattr(exp, loader)(batch_size=2, device=CPU))
            for exp in (plain, sped)
        ]
        for loader in ("get_train_loader", "get_eval_loader")
    )
    assert train[0] != train[1]
    assert evaluation[0] == evaluation[1]
