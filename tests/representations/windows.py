"""Windows of events: made up, and those of the reference numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from easnn.events import EventWindow, label_window, open_dat, pack_events

GOLDEN_TAGS = {"a": (4, 200_000), "b": (3, 50_000)}
"""Tm and the window's length in µs."""

LABELS = {
    "17-03-30_12-53-58_0_60000000": (100_000, 750_000, 1_000_000, 1_999_000),
    "17-03-30_12-53-58_1_60000000": (250_000, 500_000, 700_000, 880_000, 1_000_000, 1_250_000),
}


def make_window(
    times: npt.ArrayLike, start_us: int = 0, end_us: int = 100, **columns: npt.ArrayLike
) -> EventWindow:
    """Return events at the given times, at pixel 0 and OFF unless told otherwise."""
    columns = {"x": 0, "y": 0, "p": 0} | columns
    return EventWindow(pack_events(times, **columns), start_us, end_us)


def random_window(seed: int) -> tuple[EventWindow, int, tuple[int, int]]:
    """Return up to 300 events within 100 µs, a number of slices, and the sensor size."""
    rng = np.random.default_rng(seed)
    n, Tm, height, width = int(rng.integers(1, 300)), int(rng.integers(1, 6)), 5, 7
    times = np.sort(rng.integers(1000, 1100, n))
    columns: dict[str, Any] = {"x": rng.integers(0, width, n), "y": rng.integers(0, height, n)}
    window = make_window(times, 1000, 1100, p=rng.integers(0, 2, n), **columns)
    return window, Tm, (height, width)


def golden_windows(golden: Path, tag: str) -> Iterator[tuple[str, EventWindow]]:
    """Yield name and window of each reference sample whose published window ends at its label."""
    duration_us = GOLDEN_TAGS[tag][1]
    for sequence, times in LABELS.items():
        recording = open_dat(golden / f"data/gen1/test/{sequence}_td.dat")
        for row, time_us in enumerate(times):
            if time_us >= duration_us:
                window = label_window(recording, time_us, duration_us, max_steps_back=2)
                yield f"{sequence}_r{row}_a{time_us}", window


def golden_values(golden: Path, name: str, tag: str, sample: str) -> npt.NDArray[np.float64]:
    """Return the published array of a sample."""
    with np.load(golden / "data/gen1_expected.npz") as expected:
        key = f"{name}|{tag}|{sample}|raw_"
        shape = expected[key + "shape"]
        flat = np.zeros(np.prod(shape))
        flat[expected[key + "nz_index"]] = expected[key + "nz_value"]
    return flat.reshape(shape)
