from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from easnn.cli.demo_event import main
from easnn.engine import save_checkpoint
from easnn.engine.checkpoint import KEYS
from easnn.events import BOX_DTYPE, pack_events, write_boxes, write_dat
from easnn.exp import ExperimentRecord, get_exp

SENSOR_HW = (24, 40)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a run with a tiny network that was not trained; it finds everything everywhere."""
    experiment = get_exp(exp_name="e-yolox-demo")
    experiment.merge(["width", "0.125", "T", "1", "test_size", "64,64", "data_dir", "nowhere"])
    torch.manual_seed(0)
    model = experiment.get_model()
    torch.nn.init.constant_(model.get_parameter("head.objectness.0.bias"), 5.0)
    contents = dict.fromkeys(KEYS) | {
        "model": dict(model.state_dict()),
        "experiment": ExperimentRecord.of(experiment).plain(),
    }
    path = tmp_path_factory.mktemp("run") / "best_ckpt.pth"
    save_checkpoint(path, contents)
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A recording of 0.4 s that begins at 1 s, with one labelled moment."""
    t_us = np.arange(1_000_000, 1_400_000, 1000)
    numbers = np.arange(len(t_us))
    events = pack_events(t_us, numbers % SENSOR_HW[1], numbers % SENSOR_HW[0], numbers % 2)
    box = np.zeros(1, BOX_DTYPE)
    box["t_us"], box["w"], box["h"] = 1_250_000, 10, 8
    path = tmp_path / "street_td.dat"
    write_dat(path, events, sensor_hw=SENSOR_HW)
    write_boxes(tmp_path / "street_bbox.npy", box)
    return path
