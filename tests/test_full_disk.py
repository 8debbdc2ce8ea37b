"""On a full disk, every writer says so in one sentence and leaves what was there, and no more."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from easnn.analysis.canvas import write_picture
from easnn.analysis.clip import write_clip
from easnn.checkpoints import save_checkpoint
from easnn.data.cache.label_cache import LabelFile, StampedLabels
from easnn.data.label_index import LabelIndex
from easnn.data.rvt.sequence_writer import SequencePlan, write_sequence
from easnn.events import (
    BOX_DTYPE,
    Contours,
    pack_events,
    write_boxes,
    write_contours,
    write_dat,
    write_hdf5,
    write_n_mnist,
    write_npz,
)
from easnn.utils.errors import OutputError
from easnn.utils.files import write_json

ROOM_BYTES = 64 * 1024
RNG = np.random.default_rng(0)
COUNT = 100_000
EVENTS = pack_events(
    np.sort(RNG.integers(0, 8_000_000, COUNT)),
    RNG.integers(0, 200, COUNT),
    RNG.integers(0, 200, COUNT),
    RNG.integers(0, 2, COUNT),
)
PICTURE = RNG.integers(0, 255, (300, 300, 3), dtype=np.uint8)
FRAMES = np.arange(40_000)


def _labels(path: Path) -> None:
    labels = LabelIndex(
        FRAMES.astype(np.int32), FRAMES, np.append(FRAMES, 40_000), RNG.random((40_000, 5))
    )
    file = LabelFile(path.parent, "")
    file.path = path
    file.write(StampedLabels(labels, ["a"], np.zeros((1, 2), np.int64)))


WRITERS: dict[str, Callable[[Path], None]] = {
    "a_td.dat": lambda path: write_dat(path, EVENTS),
    "a.h5": lambda path: write_hdf5(path, EVENTS),
    "a.npz": lambda path: write_npz(path, EVENTS),
    "a.bin": lambda path: write_n_mnist(path, EVENTS),
    "a_bbox.npy": lambda path: write_boxes(path, np.zeros(10_000, BOX_DTYPE)),
    "annotation_1.mat": lambda path: write_contours(
        path, Contours(np.zeros((2, 2), np.int16), np.zeros((30_000, 2), np.int16))
    ),
    "a.json": lambda path: write_json(path, list(range(50_000))),
    "latest_ckpt.pth": lambda path: save_checkpoint(path, {"model": {"w": torch.rand(50_000)}}),
    "a.png": lambda path: write_picture(path, PICTURE),
    "a.gif": lambda path: write_clip(path, [PICTURE] * 3, 10.0),
    "a.mp4": lambda path: write_clip(path, [PICTURE] * 3, 10.0),
    "labels.npz": _labels,
}
MESSAGES = (
    "Cannot write {path}: {reason}. Nothing was replaced; free some space or choose another "
    "directory."
)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder with room for 64 kB, and what the system says where it ends.

    Where no file system may be mounted, no file may be larger.
    """
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode == 0:
        yield folder, "No space left on device"
        subprocess.run(["umount", "--lazy", folder], check=True)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, before[1]))
    yield folder, "File too large"
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("name", WRITERS)
def test_the_old_file_stays(full_disk: tuple[Path, str], name: str) -> None:
    folder, reason = full_disk
    path = folder / name
    path.write_bytes(b"old")
    with pytest.raises(OutputError) as caught:
        WRITERS[name](path)
    reasons = [reason, "the disk is probably full"]  # torch hides the reason
    assert str(caught.value) in [MESSAGES.format(path=path, reason=text) for text in reasons]
    assert [(file.name, file.read_bytes()) for file in folder.iterdir()] == [(name, b"old")]


def test_a_sequence_appears_whole_or_not_at_all(full_disk: tuple[Path, str]) -> None:
    folder, reason = full_disk
    boxes = np.zeros(1, BOX_DTYPE)
    boxes["t_us"] = 1
    plan = SequencePlan(
        boxes, np.array([1]), np.arange(1, 40), np.array([0]), (40, 40), halved=False
    )
    histograms = RNG.integers(0, 255, (39, 20, 40, 40), dtype=np.uint8)
    with pytest.raises(OutputError) as caught:
        write_sequence(folder / "sequence", plan, histograms)
    assert str(caught.value) == (
        f"Cannot write {folder / 'sequence'}: {reason}. Free some space or choose another folder."
    )
    assert list(folder.iterdir()) == []


def test_there_is_room_again(full_disk: tuple[Path, str]) -> None:
    folder, _ = full_disk
    with pytest.raises(OutputError):
        write_hdf5(folder / "a.h5", EVENTS)
    write_json(folder / "a.json", [1])
    assert json.loads((folder / "a.json").read_text()) == [1]
