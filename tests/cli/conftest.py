from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from easnn.events import BOX_DTYPE, pack_events, write_boxes, write_dat

SENSOR_HW = (32, 64)
LABELS_US = (100_000, 200_000, 300_000, 400_000)


@pytest.fixture(scope="session")
def raw_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two splits of one recording each: four labelled frames with a car, noise for events."""
    root = tmp_path_factory.mktemp("raw")
    for split in ("train", "val"):
        folder = root / split
        folder.mkdir()
        rng = np.random.default_rng(len(split))
        t_us = np.sort(rng.integers(0, LABELS_US[-1], 4000))
        events = pack_events(
            t_us, rng.integers(0, 64, 4000), rng.integers(0, 32, 4000), rng.integers(0, 2, 4000)
        )
        write_dat(folder / f"{split}_td.dat", events, sensor_hw=SENSOR_HW)
        boxes = np.zeros(len(LABELS_US), BOX_DTYPE)
        boxes["t_us"] = LABELS_US
        boxes["x"], boxes["y"], boxes["w"], boxes["h"] = 10, 5, 30, 20
        write_boxes(folder / f"{split}_bbox.npy", boxes)
    return root
