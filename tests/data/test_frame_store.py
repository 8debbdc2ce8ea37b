from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from easnn.data import GB
from easnn.data.cache.cache_folder import CacheFolder
from easnn.data.cache.frame_store import (
    RESERVE_BYTES,
    FrameStore,
    PutResult,
    pack_frame,
    unpack_frame,
)

FRAME = torch.arange(2 * 3 * 2 * 4 * 5, dtype=torch.uint8).reshape(1, 6, 2, 4, 5)


KEY = b"0123456789abcdef"


@pytest.fixture
def folder(tmp_path):
    folder = CacheFolder(tmp_path / "frames", GB)
    folder.make()
    return folder


SHAPES = st.tuples(*[st.integers(1, 3)] * 3, *[st.integers(1, 8)] * 2)


@given(
    st.sampled_from([np.uint8, np.int16, np.int32, np.float16, np.float32]).flatmap(
        lambda dtype: arrays(dtype, SHAPES)
    ),
    st.integers(0, 7),
    st.data(),
)
def test_a_packed_frame_is_unpacked_or_refused(values, bit, data):
    """Also if a bit of it is flipped: a frame is never another one."""
    packed = pack_frame(torch.from_numpy(values))
    found = unpack_frame(packed).numpy()
    assert (found.dtype, found.shape) == (values.dtype, values.shape)
    assert found.tobytes() == values.tobytes()
    position = data.draw(st.integers(0, len(packed) - 1))
    flipped = bytearray(packed)
    flipped[position] ^= 1 << bit
    try:
        again = unpack_frame(bytes(flipped)).numpy()
    except ValueError:
        return
    assert (again.dtype, again.shape) == (values.dtype, values.shape)
    assert again.tobytes() == values.tobytes()


def random_frame(number: int, shape=(1, 1, 2, 300, 400)) -> torch.Tensor:
    """Return a frame that cannot be compressed."""
    generator = torch.Generator().manual_seed(number)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int16, torch.int32, torch.float16, torch.float32]
)
def test_what_comes_out_is_what_went_in(folder, dtype):
    store = FrameStore(folder, "a")
    frame = FRAME.to(dtype)
    assert store.get(KEY) is None
    assert store.put(KEY, frame) is PutResult.STORED
    found = FrameStore(folder, "a").get(KEY)
    assert found.dtype == dtype
    assert found.equal(frame)
    found.fill_(0)
    assert store.get(KEY).equal(frame)
    assert (store.count(), store.get(b"f" * 16)) == (1, None)


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
        writer = multiprocessing.get_context("fork").Process(
            target=_write_frames, args=(folder, 0, 10**6)
        )
        before = FrameStore(folder, "a").count()
        writer.start()
        while FrameStore(folder, "a").count() < before + 5:
            time.sleep(0.01)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        store = FrameStore(folder, "a")
        for number in range(store.count()):
            assert store.get(number.to_bytes(16, "big")).equal(
                random_frame(number, (1, 1, 2, 40, 40))
            )
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
        total = sum(
            path.stat().st_size for path in small.path.iterdir() if path.suffix != ".db-shm"
        )
    stored = kept.count(PutResult.STORED)
    assert kept == [PutResult.STORED] * stored + [PutResult.FULL] * (20 - stored)
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


def test_a_full_disk_is_a_full_cache(folder, monkeypatch):
    store = FrameStore(folder, "a")
    assert store.put(KEY, FRAME) is PutResult.STORED
    store._connection().execute("PRAGMA max_page_count = 6")
    assert store.put(b"f" * 16, random_frame(1)) is PutResult.FULL
    assert store.get(KEY).equal(FRAME)
