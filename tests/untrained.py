"""Checkpoints without training."""

from __future__ import annotations

from pathlib import Path

import torch

from easnn.checkpoints import save_checkpoint
from easnn.checkpoints.format import KEYS
from easnn.exp import ExperimentRecord, get_exp


def untrained(folder: Path, words: str = "") -> Path:
    """Write the checkpoint of a tiny network with new weights to ``folder``; ``words`` set keys."""
    experiment = get_exp(exp_name="e-yolox-demo")
    experiment.merge(["width", "0.125", "T", "1", "test_size", "64,64", "data_dir", "nowhere"])
    experiment.merge(words.split())
    torch.manual_seed(0)
    model = experiment.get_model()
    contents = dict.fromkeys(KEYS) | {
        "model": dict(model.state_dict()),
        "raw_model": dict(model.state_dict()),
        "experiment": ExperimentRecord.of(experiment).plain(),
    }
    path = folder / "best_ckpt.pth"
    save_checkpoint(path, contents)
    return path
