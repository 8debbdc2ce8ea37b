from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from frame_caches import contents, disk_cache, report_of
from raw_layout import open_dataset, write_recording

from easnn.data.cache.frame_store import RESERVE_BYTES
from easnn.utils.errors import OutputError


def database(folder: Path) -> Path:
    (path,) = (folder / "frames").glob("*.db")
    return path


def test_a_full_cache_says_so_once(tmp_path, log):
    for name in "abc":
        write_recording(tmp_path / "train", name)
    with disk_cache(tmp_path / "cache", RESERVE_BYTES) as cache:
        cached = cache.cached(open_dataset(tmp_path), num_workers=0)
        for said in (True, False):
            contents(cached)
            assert ("The cache is full: 3 frames are not in it" in report_of(cache, log)) == said


def test_a_damaged_entry_is_computed_again_and_replaced(small_dataset, tmp_path, log):
    with disk_cache(tmp_path / "cache") as cache:
        contents(cache.cached(small_dataset, num_workers=0))
    with sqlite3.connect(database(tmp_path / "cache")) as connection:
        (first,), (second,) = connection.execute("SELECT value FROM frames WHERE number < 3")
        cut, swapped, flipped = first[:-7], second, first[:-9] + bytes([first[-9] ^ 1]) + first[-8:]
        for number, value in enumerate((cut, flipped, b"", "text", swapped), start=3):
            connection.execute("UPDATE frames SET value = ? WHERE number = ?", (value, number))
        connection.execute(
            "UPDATE frames SET value = substr(key, 1, 16) || substr(value, 17, 9) WHERE number = 8"
        )
    with disk_cache(tmp_path / "cache") as cache:
        for found in (5, 11):
            assert contents(cache.cached(small_dataset, num_workers=0)) == contents(small_dataset)
            assert report_of(cache, log).endswith(f"hits {found / 11:.1%}\n")


@pytest.mark.parametrize("damage", ["no database", "cut off", "overwritten"])
def test_a_damaged_database_is_said_and_replaced_in_the_next_run(
    small_dataset, tmp_path, log, damage
):
    with disk_cache(tmp_path / "cache") as cache:
        contents(cache.cached(small_dataset, num_workers=0))
    path = database(tmp_path / "cache")
    whole = path.read_bytes()
    if damage == "cut off":
        path.write_bytes(whole[: len(whole) // 3])
    elif damage == "overwritten":
        path.write_bytes(whole[:4000] + b"\xa5" * (len(whole) - 4000))
    else:
        path.write_bytes(b"something else entirely" * 1000)
    log.clear()
    with disk_cache(tmp_path / "cache") as cache:
        assert contents(cache.cached(small_dataset, num_workers=0)) == contents(small_dataset)
    (message,) = log
    assert message.startswith(f"The cache {path} is damaged: ")
    assert message.endswith("Frames are computed again; the next run replaces it.\n")
    for rate in ("0.0", "100.0"):
        with disk_cache(tmp_path / "cache") as cache:
            assert contents(cache.cached(small_dataset, num_workers=0)) == contents(small_dataset)
            assert report_of(cache, log).endswith(f"hits {rate}%\n")


def test_a_folder_that_is_removed_during_a_run(small_dataset, tmp_path):
    with disk_cache(tmp_path / "cache") as cache:
        cached = cache.cached(small_dataset, num_workers=0)
        cached.load(0)
        (tmp_path / "cache").rename(tmp_path / "away")
        assert contents(cached) == contents(small_dataset)
        cache.report()


def test_a_place_that_is_no_folder(small_dataset, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(OutputError) as caught, disk_cache(tmp_path / "cache"):
        pass
    assert str(caught.value) == (
        f"Cannot write to directory {tmp_path}/cache/frames: Not a directory. Choose another "
        "directory or free some space."
    )


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    def refuse(**_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("easnn.utils.files.tempfile.TemporaryFile", refuse)
    with pytest.raises(OutputError) as caught, disk_cache(tmp_path / "cache"):
        pass
    assert str(caught.value) == (
        f"Cannot write to directory {tmp_path}/cache/frames: Permission denied. Choose another "
        "directory or free some space."
    )


@pytest.mark.parametrize("seed", range(12))
def test_flipped_bits_of_a_database_never_change_a_frame(small_dataset, tmp_path, seed):
    with disk_cache(tmp_path / "cache") as cache:
        contents(cache.cached(small_dataset, num_workers=0))
    path = database(tmp_path / "cache")
    content = bytearray(path.read_bytes())
    for position in np.random.default_rng(seed).choice(8 * len(content), 30, replace=False):
        content[position // 8] ^= 1 << position % 8
    path.write_bytes(content)
    for _ in range(2):
        with disk_cache(tmp_path / "cache") as cache:
            assert contents(cache.cached(small_dataset, num_workers=0)) == contents(small_dataset)
