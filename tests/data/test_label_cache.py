from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from raw_layout import open_dataset, write_recording

import easnn.data.prophesee_layout
from easnn.utils.errors import DataError


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """Five recordings; labels are kept for datasets that are as small as that."""
    monkeypatch.setattr("easnn.data.cache.label_cache.MIN_RECORDINGS", 1)
    for number in range(5):
        boxes = [
            (20_000 * (k + 1), 4 + b, 5, 10, 8, 1) for k in range(number) for b in range(1 + k % 2)
        ]
        write_recording(tmp_path / "train", f"r{number}", boxes=boxes)
    return tmp_path


@pytest.fixture
def read(monkeypatch):
    """Names of the box files that were read."""
    names = []
    read_boxes = easnn.data.prophesee_layout.read_boxes

    def noting(path):
        names.append(path.name)
        return read_boxes(path)

    monkeypatch.setattr("easnn.data.prophesee_layout.read_boxes", noting)
    return names


def open_kept(root: Path, splits="train", **options):
    return open_dataset(root, splits, cache_dir=root / "cache", **options)


def labels(dataset):
    return [
        (f.boxes.tolist(), f.boxes.dtype, *f[1:]) for f in map(dataset.label, range(len(dataset)))
    ]


def names_read(read, root, **options):
    """Open the dataset, check its labels, and return what was read."""
    read.clear()
    dataset = open_kept(root, **options)
    names = sorted(read)
    assert labels(dataset) == labels(open_dataset(root, **options))
    return [name.removesuffix("_bbox.npy") for name in names]


def test_only_changed_files_are_read_again(root, read):
    everything = [f"r{number}" for number in range(5)]
    assert names_read(read, root) == everything
    assert names_read(read, root) == []
    write_recording(root / "train", "r2", boxes=[(50_000, 1, 2, 3, 4, 0)])
    assert names_read(read, root) == ["r2"]
    write_recording(root / "train", "r15", boxes=[(50_000, 1, 2, 3, 4, 0)] * 3)
    assert names_read(read, root) == ["r15"]
    for name in ("r0", "r3"):
        for path in (root / "train").glob(f"{name}_*"):
            path.unlink()
    assert names_read(read, root) == []
    assert len(open_kept(root)) == 1 + 1 + 1 + 4


def test_a_change_that_keeps_the_size_is_noticed(root, read):
    names_read(read, root)
    path = root / "train" / "r4_bbox.npy"
    before = path.stat()
    write_recording(
        root / "train",
        "r4",
        boxes=[(20_000 * (k + 1), 9, 9, 9, 9, 1) for k in range(4) for _ in range(1 + k % 2)],
    )
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert path.stat().st_size == before.st_size
    assert names_read(read, root) == ["r4"]


def test_labels_are_kept_by_what_they_follow_from(root, read):
    shutil.copytree(root / "train", root / "val")
    names_read(read, root)
    assert len(names_read(read, root, downsample=2)) == 5
    assert names_read(read, root, Tm=3, window=-30, aggregation="timesurface") == []
    read.clear()
    open_kept(root, "val")
    assert len(read) == 5
    assert names_read(read, root) == []
    (root / "dataset.json").write_text(json.dumps({"class_names": ["a", "b", "c"]}))
    assert len(names_read(read, root, num_classes=3)) == 5


def test_another_class_list_still_refuses_unknown_classes(root):
    open_kept(root)
    (root / "dataset.json").write_text(json.dumps({"class_names": ["cup"]}))
    with pytest.raises(DataError, match="must be 0 to 0"):
        open_kept(root, num_classes=1)


@pytest.mark.parametrize("damage", ["empty", "cut off", "another file"])
def test_a_damaged_file_is_replaced(root, read, damage):
    names_read(read, root)
    (path,) = (root / "cache" / "labels").iterdir()
    whole = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "cut off": whole[: len(whole) // 2], "another file": b"x" * 1000}[damage]
    )
    assert len(names_read(read, root)) == 5
    assert names_read(read, root) == []


def test_a_flipped_bit_never_changes_a_label(root, read):
    expected = labels(open_kept(root))
    (path,) = (root / "cache" / "labels").iterdir()
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.choice(8 * len(whole), 60, replace=False):
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        assert labels(open_kept(root)) == expected
    assert read.count("r4_bbox.npy") > 20  # most of them are noticed


def test_a_folder_that_cannot_be_written_stops_nothing(root, read):
    (root / "cache").write_text("")
    assert len(names_read(read, root)) == 5
    assert len(names_read(read, root)) == 5


def test_files_do_not_pile_up(root, monkeypatch):
    monkeypatch.setattr("easnn.data.cache.label_cache.MAX_FILES", 2)
    for number, names in enumerate((["a", "b"], ["b", "a"], ["c", "d"])):
        (root / "dataset.json").write_text(json.dumps({"class_names": names}))
        open_kept(root)
        files = list((root / "cache" / "labels").iterdir())
        assert len(files) == min(number + 1, 2)


def test_small_datasets_and_those_without_a_folder_leave_nothing(root, monkeypatch):
    open_dataset(root)
    monkeypatch.setattr("easnn.data.cache.label_cache.MIN_RECORDINGS", 6)
    open_kept(root)
    assert not (root / "cache").exists()


def test_labels_are_arrays(root):
    for dataset in (open_kept(root), open_kept(root)):
        assert all(type(values) is np.ndarray for values in vars(dataset._labels).values())


def test_what_a_killed_process_left_unfinished_is_removed(root):
    left = root / "cache" / "labels" / ".0123.npz.abcd1234"
    left.parent.mkdir(parents=True)
    left.touch()
    os.utime(left, (0, 0))
    open_kept(root)
    assert not left.exists()
