from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from frame_caches import contents, report_of
from raw_layout import open_dataset

from easnn.data import GB, open_frame_cache


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A folder in the place of the memory of the machine."""
    folder = tmp_path / "memory"
    folder.mkdir()
    monkeypatch.setattr("easnn.data.cache.frame_cache.MEMORY_FOLDER", folder)
    return folder / f"easnn-{os.getuid()}"


def test_a_cache_in_memory_is_gone_at_the_end(small_dataset, tmp_path, memory, log):
    with open_frame_cache("ram", tmp_path / "unused", 10**7) as cache:
        cached = cache.cached(small_dataset, num_workers=0)
        for rate in ("0.0", "100.0"):
            assert contents(cached) == contents(small_dataset)
            assert report_of(cache, log).endswith(f" of 10 MB, hits {rate}%\n")
        assert len(list(memory.glob("run-*.db"))) == 1
    assert [path.name for path in memory.iterdir()] == ["folder"]
    assert not (tmp_path / "unused").exists()


def _be_killed_with_a_cache(root: Path) -> None:
    with open_frame_cache("ram", root, 10**7) as cache:
        contents(cache.cached(open_dataset(root), num_workers=0))
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_run_left_in_memory_is_removed_by_the_next(small_dataset, tmp_path, memory):
    killed = multiprocessing.get_context("fork").Process(
        target=_be_killed_with_a_cache, args=(tmp_path,)
    )
    killed.start()
    killed.join()
    left = list(memory.glob("run-*.db"))
    assert len(left) == 1
    with open_frame_cache("ram", tmp_path, 10**7) as running:
        running.cached(small_dataset, num_workers=0)
        assert not left[0].exists()
        with open_frame_cache("ram", tmp_path, 10**7):
            pass
        assert len(list(memory.glob("run-*.lock"))) == 1  # that of the running one


def test_a_cache_in_memory_takes_at_most_half_of_what_is_free(
    small_dataset, tmp_path, memory, log, monkeypatch
):
    monkeypatch.setattr("easnn.data.cache.frame_cache.free_memory_bytes", lambda: 4 * GB)
    with open_frame_cache("ram", tmp_path, 20 * GB):
        pass
    assert log == ["The cache may take 2 GB, half of the free memory (`cache_gb`: 20 GB).\n"]
