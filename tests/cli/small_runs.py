"""Trainings that take half a second, through the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from easnn.events import BOX_DTYPE, pack_events, write_boxes, write_dat

EXPERIMENT = Path(__file__).with_name("small_experiment.py")


def write_dataset(root: Path, seed: int) -> None:
    """Write two splits of one recording each: four labelled frames with two cars."""
    for number, split in enumerate(("train", "val")):
        (root / split).mkdir(parents=True)
        rng = np.random.default_rng((seed, number))
        t_us = np.sort(rng.integers(0, 400_000, 4000))
        columns = (rng.integers(0, high, 4000) for high in (64, 32, 2))
        write_dat(root / split / "a_td.dat", pack_events(t_us, *columns), sensor_hw=(32, 64))
        boxes = np.zeros(8, BOX_DTYPE)
        boxes["t_us"] = np.repeat([100_000, 200_000, 300_000, 400_000], 2)
        boxes["x"] = rng.integers(0, 30, 8)
        boxes["y"], boxes["w"], boxes["h"] = 5, 30, 20
        boxes["h"][3] = 9  # too low for `label_filter`
        write_boxes(root / split / "a_bbox.npy", boxes)


def words(folder: Path, output: Path, keys: str) -> list[str]:
    given = {"data_dir": str(folder / "data"), "output_dir": str(output), "exp_name": "run"}
    pairs = keys.split()
    given |= dict(zip(pairs[::2], pairs[1::2], strict=True))  # the last value of a key counts
    options = ["-f", str(EXPERIMENT), "-b", "2", "-l", "tensorboard"]
    return options + [word for pair in given.items() for word in pair]
