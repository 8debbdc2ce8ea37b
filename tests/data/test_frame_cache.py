from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import sqlite3
import time
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from loguru import logger
from raw_layout import open_dataset, some_events, write_recording

from easnn.data import (
    DATASETS,
    GB,
    LetterboxPolicy,
    RawDataset,
    RecordingDataset,
    build_eval_loader,
    open_frame_cache,
)
from easnn.data.cache.folder import CacheFolder
from easnn.data.cache.store import RESERVE_BYTES, FrameStore, Kept
from easnn.utils.errors import OutputError

FRAME = torch.arange(2 * 3 * 2 * 4 * 5, dtype=torch.uint8).reshape(1, 6, 2, 4, 5)
KEY = b"0123456789abcdef"


@contextmanager
def disk_cache(folder: Path, limit_bytes: int = GB):
    with open_frame_cache("disk", folder, limit_bytes) as cache:
        yield cache


@pytest.fixture
def log():
    """Messages of the log."""
    messages = []
    handler = logger.add(messages.append, format="{message}")
    yield messages
    logger.remove(handler)


@pytest.fixture
def folder(tmp_path):
    folder = CacheFolder(tmp_path / "frames", GB)
    folder.make()
    return folder


def report_of(cache, log) -> str:
    log.clear()
    cache.report()
    return "".join(log)


def contents(dataset):
    return [
        (f.events.dtype, f.events.tolist(), f.boxes.tolist(), *f[2:])
        for f in map(dataset.load, range(len(dataset)))
    ]


def database(folder: Path) -> Path:
    (path,) = (folder / "frames").glob("*.db")
    return path


def random_frame(number: int, shape=(1, 1, 2, 300, 400)) -> torch.Tensor:
    """Return a frame that cannot be compressed."""
    generator = torch.Generator().manual_seed(number)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.float16, torch.float32])
def test_what_comes_out_is_what_went_in(folder, dtype):
    store = FrameStore(folder, "a")
    frame = FRAME.to(dtype)
    assert store.get(KEY) is None
    assert store.put(KEY, frame) is Kept.YES
    found = FrameStore(folder, "a").get(KEY)
    assert found.dtype == dtype
    assert found.equal(frame)
    found.fill_(0)
    assert store.get(KEY).equal(frame)
    assert (store.count(), store.get(b"f" * 16)) == (1, None)


@pytest.mark.parametrize(
    "options", [{}, {"aggregation": "voxel_grid"}, {"downsample": 2}, {"measure": "timesurface"}]
)
def test_cached_frames_are_those_of_the_dataset(small_dataset, tmp_path, log, options):
    dataset = open_dataset(tmp_path, **options)
    for expected in ("cache: 11 frames, ", "hits 0.0%"), ("cache: 11 frames, ", "hits 100.0%"):
        with disk_cache(tmp_path / "cache") as cache:
            cached = cache.cached(open_dataset(tmp_path, **options), num_workers=0)
            assert contents(cached) == contents(dataset)
            line = report_of(cache, log)
        assert line.startswith(expected[0])
        assert line.endswith(f" of 1 GB, {expected[1]}\n")
    assert (cached.name, cached.split, cached.sensor_hw, cached.class_names, len(cached)) == (
        dataset.name,
        dataset.split,
        dataset.sensor_hw,
        dataset.class_names,
        len(dataset),
    )


def test_each_report_is_about_the_time_since_the_last(small_dataset, tmp_path, log):
    with disk_cache(tmp_path / "cache") as cache:
        cached = cache.cached(small_dataset, num_workers=0)
        assert report_of(cache, log) == ""
        for expected in ("hits 0.0%", "hits 100.0%"):
            contents(cached)
            assert report_of(cache, log).endswith(f"{expected}\n")
        log.clear()
        cache.report_all()
        assert log[0].startswith("cache, whole run: 11 frames, ")
        assert log[0].endswith("hits 50.0%\n")


@pytest.mark.parametrize(
    "options",
    [
        {"window_ms": -10},
        {"Tm": 3},
        {"slicing": "window"},
        {"aggregation": "sum"},
        {"aggregation": "timesurface"},
        {"measure": "timesurface"},
        {"aggregation": "timesurface", "tau_us": 1_000},
        {"downsample": 2},
    ],
)
def test_another_setting_gives_its_own_frames(small_dataset, tmp_path, log, options):
    with disk_cache(tmp_path / "cache") as cache:
        for dataset in (small_dataset, open_dataset(tmp_path, aggregation="timesurface")):
            contents(cache.cached(dataset, num_workers=0))
        cache.report()
        dataset = open_dataset(tmp_path, **options)
        made = options == {"aggregation": "timesurface"}
        assert contents(cache.cached(dataset, num_workers=0)) == contents(dataset)
        assert report_of(cache, log).endswith(f"hits {'100' if made else '0'}.0%\n")


def test_a_long_array_of_a_source_is_compared_whole(small_dataset, tmp_path):
    settings = []
    for value in (0.0, 1e-12):
        source = DATASETS["gen1"].source(tmp_path, "train")
        source.gains = np.zeros(5000)
        source.gains[2500] = value
        options = {"window_ms": -20, "Tl": 1, "Tm": 2, "aggregation": "micro_sum", "num_classes": 2}
        settings.append(RecordingDataset("mine", source, "train", **options).settings())
    assert settings[0] != settings[1]


@pytest.mark.parametrize("rewrite", ["events", "only the time"])
def test_a_changed_recording_gives_its_new_frames(small_dataset, tmp_path, log, rewrite):
    with disk_cache(tmp_path / "cache") as cache:
        contents(cache.cached(small_dataset, num_workers=0))
    path = tmp_path / "train" / "r1_td.dat"
    before = path.stat()
    if rewrite == "events":
        boxes = [(20_000 * (k + 1), 4, 5, 10, 8, 1) for k in range(5)]
        write_recording(tmp_path / "train", "r1", events=some_events("other"), boxes=boxes)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert path.stat().st_size == before.st_size
    with disk_cache(tmp_path / "cache") as cache:
        dataset = open_dataset(tmp_path)
        assert contents(cache.cached(dataset, num_workers=0)) == contents(open_dataset(tmp_path))
        assert report_of(cache, log).endswith(f"hits {6 / 11:.1%}\n")


def test_a_recording_that_changes_during_a_run_is_not_kept(small_dataset, tmp_path):
    with disk_cache(tmp_path / "cache") as cache:
        cached = cache.cached(small_dataset, num_workers=0)
        old = cached.load(2)
        path = tmp_path / "train" / "r1_td.dat"
        stamp = path.stat().st_mtime_ns
        write_recording(tmp_path / "train", "r1", events=some_events("other"))
        os.utime(path, ns=(stamp, stamp + 1))
        cached.load(3)
    with disk_cache(tmp_path / "cache") as cache:
        new = open_dataset(tmp_path)
        assert not new.load(2).events.equal(old.events)
        assert contents(cache.cached(new, num_workers=0)) == contents(open_dataset(tmp_path))


def test_other_code_gives_its_own_frames(small_dataset, tmp_path, log, monkeypatch):
    for code, rate in (("one", "0.0"), ("one", "100.0"), ("other", "0.0")):
        monkeypatch.setattr("easnn.data.cache.code._rooms_digest", lambda code=code: code.encode())
        with disk_cache(tmp_path / "cache") as cache:
            contents(cache.cached(small_dataset, num_workers=0))
            assert report_of(cache, log).endswith(f"hits {rate}%\n")


def test_frames_of_code_that_lies_in_no_file_are_not_kept(small_dataset, tmp_path, log):
    made_here = {"__module__": "nowhere"}
    dataset = open_dataset(tmp_path)
    dataset.__class__ = type("MyDataset", (RawDataset,), made_here)
    with disk_cache(tmp_path / "cache") as cache:
        assert cache.cached(dataset, num_workers=0) is dataset
    assert log == ["The frames of gen1 train are read without the cache.\n"]


def test_frames_at_another_speed_pass_by(small_dataset, tmp_path, log):
    with disk_cache(tmp_path / "cache") as cache:
        cached = cache.cached(small_dataset, num_workers=0)
        assert cached.load_at_speed(3, 2.0).events.equal(small_dataset.load_at_speed(3, 2.0).events)
        assert report_of(cache, log) == ""


def test_workers_share_the_cache_and_its_counts(small_dataset, tmp_path, log):
    with disk_cache(tmp_path / "cache") as cache:
        cached = cache.cached(small_dataset, num_workers=2)
        loader = build_eval_loader(
            cached, LetterboxPolicy((32, 64)), batch_size=2, num_workers=2, device=torch.device("cpu")
        )
        plain = build_eval_loader(
            small_dataset, LetterboxPolicy((32, 64)), batch_size=2, num_workers=0, device=torch.device("cpu")
        )
        expected = [batch.events.tolist() for batch in plain]
        for rate in ("0.0", "100.0"):
            assert [batch.events.tolist() for batch in loader] == expected
            assert report_of(cache, log).endswith(f"hits {rate}%\n")
        assert contents(pickle.loads(pickle.dumps(cached))) == contents(small_dataset)


def _write_frames(folder: CacheFolder, first: int, count: int) -> None:
    store = FrameStore(folder, "a")
    for number in range(first, first + count):
        store.put(number.to_bytes(16, "big"), random_frame(number, (1, 1, 2, 40, 40)))


def test_processes_write_at_the_same_time(folder):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_frames, args=(folder, 30 * k, 60)) for k in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    store = FrameStore(folder, "a")
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert store.count() == 120
    for number in range(120):
        assert store.get(number.to_bytes(16, "big")).equal(random_frame(number, (1, 1, 2, 40, 40)))


def test_a_killed_writer_leaves_a_whole_cache(folder):
    for _ in range(3):
        writer = multiprocessing.get_context("fork").Process(target=_write_frames, args=(folder, 0, 10**6))
        before = FrameStore(folder, "a").count()
        writer.start()
        while FrameStore(folder, "a").count() < before + 5:
            time.sleep(0.01)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        store = FrameStore(folder, "a")
        for number in range(store.count()):
            assert store.get(number.to_bytes(16, "big")).equal(random_frame(number, (1, 1, 2, 40, 40)))
        with sqlite3.connect(folder.database("a")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_bound_holds_and_what_is_unused_goes_first(folder):
    small = CacheFolder(folder.path, RESERVE_BYTES + 2_000_000)
    for name in ("old", "older"):
        with small.use(name):
            FrameStore(small, name).put(KEY, FRAME)
    with small.use("mine"), small.use("others"):
        FrameStore(small, "others").put(KEY, FRAME)
        store = FrameStore(small, "mine")
        kept = [store.put(number.to_bytes(16, "big"), random_frame(number)) for number in range(20)]
        total = sum(path.stat().st_size for path in small.path.iterdir() if path.suffix != ".db-shm")
    stored = kept.count(Kept.YES)
    assert kept == [Kept.YES] * stored + [Kept.FULL] * (20 - stored)
    assert 5 < stored < 9
    assert total < small.limit_bytes
    assert sorted(path.name for path in small.path.glob("*.db")) == ["mine.db", "others.db"]
    assert store.get((0).to_bytes(16, "big")).equal(random_frame(0))


def test_of_unused_stores_the_oldest_goes_first(folder):
    for name in ("c", "a", "b", "c"):
        with folder.use(name):
            FrameStore(folder, name).put(KEY, FRAME)
        time.sleep(0.01)
    left = []
    while folder.remove_oldest_unused():
        left.append(sorted(path.stem for path in folder.path.glob("*.db")))
    assert left == [["b", "c"], ["c"], []]
    assert [path.name for path in folder.path.iterdir()] == ["folder"]


def test_a_full_cache_says_so_once(tmp_path, log):
    for name in "abc":
        write_recording(tmp_path / "train", name)
    with disk_cache(tmp_path / "cache", RESERVE_BYTES) as cache:
        cached = cache.cached(open_dataset(tmp_path), num_workers=0)
        for said in (True, False):
            contents(cached)
            assert ("The cache is full: 3 frames were not kept" in report_of(cache, log)) == said


def test_a_full_disk_is_a_full_cache(folder, monkeypatch):
    store = FrameStore(folder, "a")
    assert store.put(KEY, FRAME) is Kept.YES
    store._connection().execute("PRAGMA max_page_count = 6")
    assert store.put(b"f" * 16, random_frame(1)) is Kept.FULL
    assert store.get(KEY).equal(FRAME)


def test_a_damaged_entry_is_made_anew_and_replaced(small_dataset, tmp_path, log):
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
def test_a_damaged_database_is_said_and_replaced_in_the_next_run(small_dataset, tmp_path, log, damage):
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
    assert message.endswith("Frames are made anew; the next run starts another one.\n")
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
        f"Cannot write to directory {tmp_path}/cache/frames: Not a directory. Choose another directory or free it."
    )


@pytest.mark.skipif(os.getuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder(tmp_path):
    (tmp_path / "cache" / "frames").mkdir(parents=True)
    (tmp_path / "cache" / "frames").chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"), disk_cache(tmp_path / "cache"):
        pass


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A folder in the place of the memory of the machine."""
    folder = tmp_path / "memory"
    folder.mkdir()
    monkeypatch.setattr("easnn.data.cache.place.MEMORY_FOLDER", folder)
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
    killed = multiprocessing.get_context("fork").Process(target=_be_killed_with_a_cache, args=(tmp_path,))
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
    monkeypatch.setattr("easnn.data.cache.place.free_memory_bytes", lambda: 4 * GB)
    with open_frame_cache("ram", tmp_path, 20 * GB):
        pass
    assert log == ["The cache may take 2 GB, half of the free memory (`cache_gb`: 20 GB).\n"]


def test_memory_does_not_grow_with_epochs(small_dataset, tmp_path):
    with disk_cache(tmp_path / "cache") as cache:
        cached = cache.cached(small_dataset, num_workers=0)
        loader = build_eval_loader(
            cached, LetterboxPolicy((32, 64)), batch_size=11, num_workers=0, device=torch.device("cpu")
        )
        sizes = []
        tracemalloc.start()
        for _ in range(40):
            for _batch in loader:
                pass
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert sizes[-1] - sizes[9] < 45_000  # half of what it would be if one of the 11 frames stayed each time
