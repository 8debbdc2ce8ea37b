from __future__ import annotations

from pathlib import Path

import torch
from small_runs import write_dataset

from easnn.data import RepeatFirstBatch
from easnn.exp import EventExp, get_exp

CPU = torch.device("cpu")


def tiny(root: Path, words: str = "") -> EventExp:
    exp = get_exp(exp_name="e-yolox-demo")
    exp.merge(
        [
            "data_dir",
            str(root),
            *f"input_size 32,64 test_size 64,64 data_num_workers 0 {words}".split(),
        ]
    )
    return exp


def test_training_and_evaluation_see_their_own_sizes(raw_dataset: Path) -> None:
    exp = tiny(raw_dataset)
    shapes = {}
    train_loader = exp.get_train_loader(batch_size=2, device=CPU)
    eval_loader = exp.get_eval_loader(batch_size=2, device=CPU)
    for training, loader in ((True, train_loader), (False, eval_loader)):
        events, targets = exp.get_prepare(training=training)(next(iter(loader)))
        shapes[training] = (events.shape[-2:], targets.shape[1:])
    assert shapes == {True: ((32, 64), (50, 5)), False: ((64, 64), (50, 5))}


def test_train_splits_are_put_together(raw_dataset: Path) -> None:
    exp = tiny(raw_dataset)
    assert exp.get_dataset(["train", "val"]).split == "train+val"
    assert len(exp.get_dataset(["train", "val"])) == sum(
        len(exp.get_dataset([s])) for s in ("train", "val")
    )


def test_labels_are_filtered_in_training_only(tmp_path: Path) -> None:
    write_dataset(tmp_path, 0)  # the fourth of its boxes is too low

    def boxes(words: str) -> list[int]:
        exp = tiny(tmp_path, f"train_splits val seed 1 {words}")
        loaders = (
            exp.get_train_loader(batch_size=4, device=CPU),
            exp.get_eval_loader(batch_size=4, device=CPU),
        )
        return [sum(map(len, next(iter(loader)).ground_truth())) for loader in loaders]

    assert boxes("") == [8, 8]
    assert boxes("label_filter True") == [7, 8]


def test_overfit_one_batch_repeats_a_batch(raw_dataset: Path) -> None:
    exp = tiny(raw_dataset, "overfit_one_batch True")
    loader = exp.get_train_loader(batch_size=2, device=CPU)
    assert isinstance(loader, RepeatFirstBatch)
    first, second = loader
    assert torch.equal(first.events, second.events)
