"""Writing a synthetic dataset in the layout of the raw Gen1 dataset.

Files: ``OUT/{train,val,test}/NAME_td.dat`` and ``NAME_bbox.npy``, and ``OUT/dataset.json`` with the
settings.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from easnn.events import open_dat, read_boxes, write_boxes, write_dat
from easnn.simulator.config import DEFAULT_SCENARIO, DatasetConfig
from easnn.simulator.simulate import simulate_recording
from easnn.simulator.sprite import CLASS_NAMES
from easnn.utils.errors import ConfigError, OutputError
from easnn.utils.files import make_directory, read_text, remove_unfinished, write_json
from easnn.utils.logging import on_terminal

SIMULATOR_VERSION = 1
"""Incremented whenever the same settings give other recordings."""


@dataclass(frozen=True)
class SplitSummary:
    """Content of a split: recordings, events, boxes of each class, and the total duration."""

    split: str
    recordings: int
    events: int
    boxes: dict[str, int]
    duration_s: float


def write_synthetic_dataset(
    out: Path | str, config: DatasetConfig, *, processes: int = 1
) -> list[SplitSummary]:
    """Simulate a dataset, or complete one that was interrupted.

    The files do not depend on the number of processes. Several processes are started by spawning,
    so a script needs the usual ``if __name__ == "__main__"``.

    Args:
        out: output directory: missing, empty, or with a dataset of the same settings.
        config: parameters of the dataset.
        processes: number of processes.

    Returns:
        A summary of each split, read back from the files.

    Raises:
        ConfigError: if ``processes`` is below 1.
        OutputError: if ``out`` has other content or cannot be written.
    """
    out = Path(out)
    if processes < 1:
        raise ConfigError(f"`processes` must be at least 1, but is {processes}.")
    settings = _settings(config)
    _refuse_other_content(out, settings)
    make_directory(out)
    remove_unfinished(out, "dataset.json")
    description = {"name": "synthetic", "class_names": list(CLASS_NAMES), "settings": settings}
    write_json(out / "dataset.json", {**description, "complete": False})
    for split in config.splits:
        make_directory(out / split)
        remove_unfinished(out / split, f"{split}_*_td.dat", f"{split}_*_bbox.npy")
    tasks = [
        _Task(out, split, number, config)
        for split, count in config.splits.items()
        for number in range(count)
    ]
    missing = [task for task in tasks if not task.is_done()]
    done = len(tasks) - len(missing)
    with tqdm(
        desc="simulating",
        total=len(tasks),
        initial=done,
        unit="recording",
        disable=not on_terminal(),
    ) as progress:
        for _ in _simulate(missing, min(processes, len(missing))):
            progress.update()
    write_json(out / "dataset.json", {**description, "complete": True})
    return [
        _summarize(split, [task for task in tasks if task.split == split], config)
        for split in config.splits
    ]


class _Task(NamedTuple):
    """One recording to simulate."""

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
        """Return whether both files exist."""
        return self.events_path.exists() and self.boxes_path.exists()

    def make(self) -> None:
        """Simulate the recording and write both files atomically."""
        recording = self.config.recording
        events, boxes = simulate_recording(
            recording, seed=self.config.seed, split=self.split, number=self.number
        )
        write_dat(self.events_path, events, sensor_hw=recording.sensor_hw)
        write_boxes(self.boxes_path, boxes)


def _simulate(tasks: list[_Task], processes: int) -> Iterator[None]:
    """Simulate the recordings, yielding after each."""
    if processes <= 1:
        yield from map(_Task.make, tasks)
        return
    # Not forked: a fork copies the state of OpenCV's and torch's threads but not the threads.
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_start_worker)
    with pool:
        try:
            yield from pool.map(_Task.make, tasks)
        except BrokenProcessPool as error:
            raise OutputError(
                "A simulating process was killed, perhaps because memory ran out. Run the same "
                "command with fewer `processes`: it resumes where it stopped."
            ) from error


def _start_worker() -> None:
    """Use one thread per process, and leave the interrupt key to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _settings(config: DatasetConfig) -> dict[str, Any]:
    """Return all settings that the recordings depend on, as a flat mapping of JSON values."""
    settings: dict[str, Any] = {"simulator_version": SIMULATOR_VERSION, **asdict(config)}
    settings |= settings.pop("recording")
    settings |= settings.pop("camera")
    if config.recording.scenario == DEFAULT_SCENARIO:  # as before there were scenarios
        settings.pop("scenario")
    return settings | {"sensor_hw": list(config.recording.sensor_hw)}


def _refuse_other_content(out: Path, settings: dict[str, Any]) -> None:
    """Raise OutputError unless ``out`` is missing, empty or a dataset with these settings."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        present = dict(json.loads(read_text(out / "dataset.json"))["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{out} is not an empty directory and does not hold a synthetic dataset (dataset.json "
            "is missing or unreadable). Choose another directory."
        ) from error
    default = {"scenario": DEFAULT_SCENARIO}
    present = default | present
    for name, value in (default | settings).items():
        if present.get(name) != value:
            raise OutputError(
                f"{out} holds a synthetic dataset with other settings: `{name}` is "
                f"{present.get(name)} there "
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
