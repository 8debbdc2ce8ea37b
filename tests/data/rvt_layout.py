"""Small preprocessed datasets, written by the tests as RVT writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from easnn.data import GEN4, AutomotiveKind, RvtDataset, RvtSource
from easnn.representations import FrameSpec

FRAME_HW = (6, 8)
HALVED = "event_representations_ds2_nearest.h5"
FULL = "event_representations.h5"
HISTOGRAMS = Path("event_representations_v2") / "stacked_histogram_dt=50_nbins=10"

LABELS = [
    (100_000, 2, 2, 5, 6, 0),
    (100_000, 4, 4, 6, 4, 2),
    (300_000, 1, 3, 9, 7, 1),
]
"""Rows (t, x, y, w, h, class), in pixels of the sensor."""


def some_histograms(count: int = 6, seed: int = 0, hw: tuple[int, int] = FRAME_HW) -> np.ndarray:
    """Return histograms with counts of 0 to 10."""
    return np.random.default_rng(seed).integers(0, 11, (count, 20, *hw), dtype=np.uint8)


def write_sequence(
    folder: Path,
    *,
    histograms: np.ndarray | None = None,
    end_times_us: Sequence[int] | None = None,
    labels: Sequence[tuple[float, ...]] = LABELS,
    histogram_numbers: Sequence[int] = (1, 5),
    name: str = HALVED,
    **storage: Any,
) -> None:
    """Write a sequence of six histograms, at 50 to 300 ms, with two labelled frames."""
    histograms = some_histograms() if histograms is None else histograms
    (folder / HISTOGRAMS).mkdir(parents=True)
    (folder / "labels_v2").mkdir()
    blosc = hdf5plugin.Blosc(cname="zstd", clevel=1, shuffle=hdf5plugin.Blosc.SHUFFLE)
    with h5py.File(folder / HISTOGRAMS / name, "w") as file:
        settings = {"chunks": (1, *histograms.shape[1:]), **blosc, **storage}
        file.create_dataset(
            "data", data=histograms, maxshape=(None, *histograms.shape[1:]), **settings
        )
    if end_times_us is None:
        end_times_us = range(50_000, 50_000 * len(histograms) + 1, 50_000)
    np.save(folder / HISTOGRAMS / "timestamps_us.npy", np.array(end_times_us, np.int64))
    np.save(
        folder / HISTOGRAMS / "objframe_idx_2_repr_idx.npy", np.array(histogram_numbers, np.int64)
    )
    fields = [("t", "<i8"), *((name, "<f4") for name in "xywh"), ("class_id", "<u4")]
    rows = np.zeros(len(labels), [*fields, ("class_confidence", "<f4"), ("track_id", "<u4")])
    for row, values in zip(rows, labels, strict=True):
        for (field, _), value in zip(fields, values, strict=True):
            row[field] = value
    times_us, starts = np.unique(rows["t"], return_index=True)
    np.savez(folder / "labels_v2" / "labels.npz", labels=rows, objframe_idx_2_label_idx=starts)
    np.save(folder / "labels_v2" / "timestamps_us.npy", times_us)


def open_rvt(
    root: Path,
    splits: str | Sequence[str] = "train",
    *,
    kind: AutomotiveKind = GEN4,
    num_classes: int = 3,
    downsample: int = 1,
    **frame_keys: Any,
) -> RvtDataset:
    """Open a 1Mpx dataset, four histograms per frame unless ``frame_keys`` says otherwise."""
    spec = FrameSpec(**{"Tl": 4, "aggregation": "event_sum", **frame_keys})
    return RvtSource(root, splits, kind).dataset(
        spec, num_classes=num_classes, downsample=downsample
    )
