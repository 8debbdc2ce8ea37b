"""Small datasets in the layout of N-Caltech101, written by the tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from easnn.data import NCaltechSource, RecordingDataset
from easnn.events import Contours, pack_events, write_contours, write_n_mnist
from easnn.representations import FrameSpec

BOX = ((10, 20), (60, 20), (60, 50), (10, 50), (10, 20))


def write_image(
    root: Path,
    class_name: str,
    number: int,
    *,
    events: np.ndarray | None = None,
    box: Sequence[tuple[int, int]] = BOX,
) -> None:
    """Write a recording (by default 300 events over 100 ms) and its annotation."""
    events_path = root / "Caltech101" / class_name / f"image_{number:04d}.bin"
    boxes_path = root / "Caltech101_annotations" / class_name / f"annotation_{number:04d}.bin"
    for path in (events_path, boxes_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_n_mnist(events_path, some_events(number) if events is None else events)
    write_contours(boxes_path, Contours(np.array(box), np.array([(12, 22), (58, 40), (30, 48)])))


def some_events(seed: int) -> np.ndarray:
    """Return 300 events over 100 ms."""
    rng = np.random.default_rng(seed)
    t_us = np.sort(rng.integers(0, 100_000, 300))
    return pack_events(
        t_us, rng.integers(0, 240, 300), rng.integers(0, 180, 300), rng.integers(0, 2, 300)
    )


def line_of(class_name: str, number: int, prefix: str = "") -> str:
    """Return a line of a list."""
    return (
        f"{prefix}Caltech101/{class_name}/image_{number:04d}.bin "
        f"{prefix}Caltech101_annotations/{class_name}/annotation_{number:04d}.bin\n"
    )


def open_caltech(
    root: Path, splits: str | Sequence[str] = "train", *, num_classes: int = 100, **frame_keys: Any
) -> RecordingDataset:
    """Open a dataset of whole recordings in two slices, unless ``frame_keys`` says otherwise."""
    spec = FrameSpec(**{"window": 0, "Tm": 2, **frame_keys})
    return NCaltechSource(root, splits).dataset(spec, num_classes=num_classes)
