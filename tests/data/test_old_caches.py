"""Folders of caches that an older version has written."""

from __future__ import annotations

import sqlite3

import numpy as np
from frame_caches import contents, disk_cache, report_of
from raw_layout import open_dataset

from easnn.data.cache.frame_store import RESERVE_BYTES

OLD_NAME = "0123456789abcdef0123456789abcdef"


def write_old_store(folder, name=OLD_NAME):
    """Write a store with another table of frames; return its database."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.db"
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE frames (id INTEGER PRIMARY KEY, pixels BLOB)")
    connection.execute("INSERT INTO frames (pixels) VALUES (zeroblob(100000))")
    connection.commit()
    connection.close()
    (folder / f"{name}.lock").touch()
    return path


def test_stores_of_another_version_are_not_read(small_dataset, tmp_path, log):
    old = write_old_store(tmp_path / "cache" / "frames")
    before = old.read_bytes()
    for rate in ("0.0", "100.0"):
        with disk_cache(tmp_path / "cache") as cache:
            assert contents(cache.cached(small_dataset, num_workers=0)) == contents(small_dataset)
            assert report_of(cache, log).endswith(f"hits {rate}%\n")
    assert old.read_bytes() == before


def test_stores_of_another_version_are_removed_to_make_room(small_dataset, tmp_path):
    old = write_old_store(tmp_path / "cache" / "frames")
    with disk_cache(tmp_path / "cache", limit_bytes=RESERVE_BYTES + 100_000) as cache:
        assert contents(cache.cached(small_dataset, num_workers=0)) == contents(small_dataset)
    assert not old.exists()


def test_a_store_with_another_table_is_left_alone(small_dataset, tmp_path, log):
    with disk_cache(tmp_path / "cache") as cache:
        contents(cache.cached(small_dataset, num_workers=0))
    (path,) = (tmp_path / "cache" / "frames").glob("*.db")
    write_old_store(path.parent, path.stem)
    log.clear()
    with disk_cache(tmp_path / "cache") as cache:
        assert contents(cache.cached(small_dataset, num_workers=0)) == contents(small_dataset)
        cache.report()
    assert log[0].startswith(f"The cache {path} cannot be used: no such column: ")


def test_labels_of_another_version_are_not_read(small_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("easnn.data.cache.label_cache.MIN_RECORDINGS", 1)
    folder = tmp_path / "cache" / "labels"
    folder.mkdir(parents=True)
    np.savez(folder / f"{OLD_NAME}.npz", labels=np.zeros(3))
    for _ in range(2):
        dataset = open_dataset(tmp_path, cache_dir=tmp_path / "cache")
        assert contents(dataset) == contents(small_dataset)
    assert len(list(folder.iterdir())) == 2
