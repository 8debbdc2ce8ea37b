"""A synthetic dataset on disk, in the layout of the raw Gen1 dataset.

``OUT/{train,val,test}/NAME_td.dat`` and ``NAME_bbox.npy``, and ``OUT/dataset.json`` with the settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from easnn.events.boxes import read_boxes, write_boxes
from easnn.events.dat import open_dat, write_dat
from easnn.events.simulator.recording import RecordingConfig, simulate_recording
from easnn.events.simulator.sprite import CLASS_NAMES
from easnn.utils.errors import ConfigError, OutputError
from easnn.utils.files import make_directory, write_json

SIMULATOR_VERSION = 1
"""Number of what the simulator makes of the same settings: counted up whenever that changes."""


@dataclass(frozen=True)
class DatasetConfig:
    """What a synthetic dataset consists of.

    Attributes:
        train: number of training recordings.
        val: number of validation recordings.
        test: number of test recordings.
        seed: every recording is a pure function of it, of the split and of the recording's number.
        recording: how each recording is made.
    """

    train: int = 40
    val: int = 6
    test: int = 8
    seed: int = 0
    recording: RecordingConfig = field(default_factory=RecordingConfig)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: if there is nothing to make.
        """
        for split, count in self.splits.items():
            if count < 0:
                raise ConfigError(f"`{split}` must not be negative, but is {count}.")
        if not any(self.splits.values()):
            raise ConfigError("`train`, `val` and `test` are all 0: there is nothing to make.")

    @property
    def splits(self) -> dict[str, int]:
        """The number of recordings of each split."""
        return {"train": self.train, "val": self.val, "test": self.test}


@dataclass(frozen=True)
class SplitSummary:
    """What lies in a split: how many recordings, events and boxes of each class, in how many seconds."""

    split: str
    recordings: int
    events: int
    boxes: dict[str, int]
    duration_s: float


def write_synthetic_dataset(
    out: Path | str, config: DatasetConfig, *, processes: int = 1
) -> list[SplitSummary]:
    """Make a dataset, or go on with one that was interrupted.

    The files do not depend on the number of processes. More than one are spawned, so a script that asks for
    them needs the usual ``if __name__ == "__main__"``.

    Args:
        out: directory to write to: missing, empty, or with a dataset of the same settings.
        config: what to make.
        processes: how many processes simulate.

    Returns:
        A summary of each split, read back from the files.

    Raises:
        ConfigError: if ``processes`` is below 1.
        OutputError: if something else is in ``out``, or if it cannot be written.
    """
    out = Path(out)
    if processes < 1:
        raise ConfigError(f"`processes` must be at least 1, but is {processes}.")
    settings = _settings(config)
    _refuse_other_content(out, settings)
    make_directory(out)
    description = {"name": "synthetic", "class_names": list(CLASS_NAMES), "settings": settings}
    write_json(out / "dataset.json", {**description, "complete": False})
    for split in config.splits:
        make_directory(out / split)
    tasks = [
        _Task(out, split, number, config) for split, count in config.splits.items() for number in range(count)
    ]
    missing = [task for task in tasks if not task.is_done()]
    done = len(tasks) - len(missing)
    with tqdm(desc="simulating", total=len(tasks), initial=done, unit="recording") as progress:
        for _ in _simulate(missing, min(processes, len(missing))):
            progress.update()
    write_json(out / "dataset.json", {**description, "complete": True})
    return [
        _summarize(split, [task for task in tasks if task.split == split], config) for split in config.splits
    ]


class _Task(NamedTuple):
    """One recording to make."""

    out: Path
    split: str
    number: int
    config: DatasetConfig

    @property
    def events_path(self) -> Path:
        return self.out / self.split / f"{self.split}_{self.number:04d}_td.dat"

    @property
    def boxes_path(self) -> Path:
        return self.out / self.split / f"{self.split}_{self.number:04d}_bbox.npy"

    def is_done(self) -> bool:
        """Tell whether both files are there."""
        return self.events_path.exists() and self.boxes_path.exists()

    def make(self) -> None:
        """Simulate and write, both files atomically."""
        recording = self.config.recording
        events, boxes = simulate_recording(
            recording, seed=self.config.seed, split=self.split, number=self.number
        )
        write_dat(self.events_path, events, sensor_hw=recording.sensor_hw)
        write_boxes(self.boxes_path, boxes)


def _simulate(tasks: list[_Task], processes: int) -> Iterator[None]:
    """Make the recordings, yielding after each."""
    if processes <= 1:
        yield from map(_Task.make, tasks)
        return
    # Spawned, not forked: a fork copies the state of OpenCV's and torch's threads, but not the threads.
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,))
    with pool:
        try:
            yield from pool.map(_Task.make, tasks)
        except BrokenProcessPool as error:
            raise OutputError(
                "A simulating process was killed, perhaps for want of memory. Run the same again with fewer "
                "`processes`: it goes on where it stopped."
            ) from error


def _settings(config: DatasetConfig) -> dict[str, Any]:
    """Return everything that the recordings depend on, in one flat mapping of JSON values."""
    settings: dict[str, Any] = {"simulator_version": SIMULATOR_VERSION, **asdict(config)}
    settings |= settings.pop("recording")
    settings |= settings.pop("camera")
    return settings | {"sensor_hw": list(config.recording.sensor_hw)}


def _refuse_other_content(out: Path, settings: dict[str, Any]) -> None:
    """Raise OutputError unless ``out`` is missing, empty, or a dataset with these settings."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        present = dict(json.loads((out / "dataset.json").read_text())["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{out} is no empty directory and holds no synthetic dataset (dataset.json is missing or "
            "unreadable). Choose another directory."
        ) from error
    for name, value in settings.items():
        if present.get(name) != value:
            raise OutputError(
                f"{out} holds a synthetic dataset with other settings: `{name}` is {present.get(name)} there "
                f"and {value} here. Choose another directory, or the same settings to continue it."
            )


def _summarize(split: str, tasks: list[_Task], config: DatasetConfig) -> SplitSummary:
    counts = np.zeros(len(CLASS_NAMES), np.int64)
    for task in tasks:
        counts += np.bincount(read_boxes(task.boxes_path)["class_id"], minlength=len(CLASS_NAMES))
    return SplitSummary(
        split=split,
        recordings=len(tasks),
        events=sum(len(open_dat(task.events_path)) for task in tasks),
        boxes=dict(zip(CLASS_NAMES, counts.tolist(), strict=True)),
        duration_s=len(tasks) * config.recording.duration_s,
    )
