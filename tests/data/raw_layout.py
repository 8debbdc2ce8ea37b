"""Small datasets in the raw layout, written by the tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from easnn.data import GEN1, AutomotiveKind, PropheseeSource, RecordingDataset
from easnn.events import BOX_DTYPE, pack_events, write_boxes, write_dat
from easnn.representations import FrameSpec

SENSOR_HW = (24, 32)
ONE_BOX = [(50_000, 4, 5, 10, 8, 0)]


def write_recording(
    folder: Path,
    name: str,
    *,
    events: np.ndarray | None = None,
    boxes: Sequence[tuple[int, float, float, float, float, int]] = ONE_BOX,
    sensor_hw: tuple[int, int] | None = SENSOR_HW,
) -> None:
    """Write events (by default 200 over 100 ms) and boxes, rows (t_us, x, y, w, h, class)."""
    folder.mkdir(parents=True, exist_ok=True)
    write_dat(
        folder / f"{name}_td.dat",
        some_events(name) if events is None else events,
        sensor_hw=sensor_hw,
    )
    rows = np.zeros(len(boxes), BOX_DTYPE)
    for row, values in zip(rows, boxes, strict=True):
        for field, value in zip(("t_us", "x", "y", "w", "h", "class_id"), values, strict=True):
            row[field] = value
    write_boxes(folder / f"{name}_bbox.npy", rows)


def some_events(name: str) -> np.ndarray:
    """Return 200 events over 100 ms, others for another name."""
    rng = np.random.default_rng(list(name.encode()))
    t_us = np.sort(rng.integers(0, 100_000, 200))
    return pack_events(
        t_us, rng.integers(0, 32, 200), rng.integers(0, 24, 200), rng.integers(0, 2, 200)
    )


def open_dataset(
    root: Path,
    splits: str | Sequence[str] = "train",
    *,
    kind: AutomotiveKind = GEN1,
    num_classes: int = 2,
    downsample: int = 1,
    cache_dir: Path | None = None,
    **frame_keys: Any,
) -> RecordingDataset:
    """Open a dataset with 20 ms windows of two slices, unless ``frame_keys`` says otherwise."""
    spec = FrameSpec(**{"window": -20, "Tm": 2, **frame_keys})
    source = PropheseeSource(root, splits, kind)
    return source.dataset(spec, num_classes=num_classes, downsample=downsample, cache_dir=cache_dir)
