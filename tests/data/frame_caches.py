"""Caches of frames, and what tests ask of them."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

from easnn.data import GB, open_frame_cache


@contextmanager
def disk_cache(folder: Path, limit_bytes: int = GB):
    with open_frame_cache("disk", folder, limit_bytes) as cache:
        yield cache


def report_of(cache, log) -> str:
    log.clear()
    cache.report()
    return "".join(log)


def contents(dataset):
    return [
        (f.events.dtype, f.events.tolist(), f.boxes.tolist(), *f[2:])
        for f in map(dataset.load, range(len(dataset)))
    ]
