"""Files as the published code writes them, of a tiny network."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from easnn.models import DetectorConfig, SpikeMode, build_detector
from easnn.published import to_published

CONFIG = DetectorConfig(
    num_classes=2,
    depth=0.33,
    width=0.125,
    use_spike=SpikeMode.FULL_V2,
    embedding="arsnn",
    embedding_depth=2,
    embedding_ksize=3,
)
KEYS = "Tm 3 T 2 thresh 1 readout sum write_zero True"
"""What a user has to know of its training, beside the dataset."""


def published_weights(config: DetectorConfig = CONFIG) -> dict[str, Tensor]:
    """Return new weights under published names, none of them a round number."""
    torch.manual_seed(0)
    model = build_detector(config)
    for name, value in model.state_dict().items():
        if value.is_floating_point() and "running_var" not in name:
            value.add_(0.01 * torch.randn_like(value))
    return to_published(config, model.state_dict())


def write_published(path: Path, weights: dict[str, Tensor] | None = None, **options: Any) -> Path:
    """Write a file as the published trainer does; its best AP is a NumPy number."""
    optimizer = {
        "state": {0: {"step": torch.tensor(7.0)}},
        "param_groups": [{"lr": 1e-3, "params": [0]}],
    }
    contents = {
        "start_epoch": 30,
        "model": OrderedDict(published_weights() if weights is None else weights),
        "optimizer": optimizer,
        "best_ap": np.float64(0.375),
        "curr_ap": np.float32(0.25),
    }
    torch.save(contents, path, **options)
    return path
