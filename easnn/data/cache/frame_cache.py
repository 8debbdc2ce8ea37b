"""The frame cache of a run: its place, its size, the datasets that use it, and its log lines."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from loguru import logger

from easnn.data.cache.cache_folder import CacheFolder
from easnn.data.cache.cached_dataset import CachedDataset, CacheHits, HitCounter
from easnn.data.cache.frame_store import FrameStore
from easnn.data.detection_dataset import DetectionDataset
from easnn.utils.device import free_memory_bytes
from easnn.utils.distributed import gather_objects, is_main, local_rank, rank
from easnn.utils.options import CacheKind

GB = 10**9

MEMORY_FOLDER = Path("/dev/shm")
MAX_MEMORY_FRACTION = 0.5
"""Largest fraction of the free memory for a cache; the batches of workers are there, too."""


class FrameCache:
    """Caches the frames of a run's datasets for this run (``ram``) or also later ones (``disk``).

    Every process of the run creates one with :func:`open_frame_cache` and calls the same methods.

    Args:
        folder: the folder of the stores.
        store_name: name of a single store for all datasets; None for one store per fingerprint.
        in_use: unlocks the stores when it is closed.
    """

    def __init__(self, folder: CacheFolder, store_name: str | None, in_use: ExitStack) -> None:
        self._folder = folder
        self._store_name = store_name
        self._stores: dict[str, FrameStore] = {}
        self._counters: list[HitCounter] = []
        self._reported = CacheHits()
        self._warned_full = False
        self._in_use = in_use

    def cached(self, dataset: DetectionDataset, *, num_workers: int) -> DetectionDataset:
        """Return a dataset with the same frames, which come from the cache if they are in it.

        Args:
            dataset: the dataset; one that cannot be cached is returned as it is.
            num_workers: data workers of this process that will read it.

        Raises:
            OutputError: if the cache cannot be written.
        """
        fingerprint = dataset.fingerprint()
        if fingerprint is None:
            if is_main():
                logger.warning(
                    "The frames of {} {} are read without the cache.", dataset.name, dataset.split
                )
            return dataset
        counter = HitCounter(num_workers)
        self._counters.append(counter)
        return CachedDataset(dataset, fingerprint, self._store(fingerprint), counter)

    def report(self) -> None:
        """Log size, and hit rate since the last report; all processes call this together."""
        total = self._total()
        self._log("cache", total - self._reported)
        self._reported = total
        if total.refused and not self._warned_full and is_main():
            self._warned_full = True
            logger.warning(
                "The cache is full: {:,} frames are not in it and are computed each time. Increase "
                "`cache_gb`.",
                total.refused,
            )

    def report_all(self) -> None:
        """Log the size, and the hit rate of the whole run; all processes call this together."""
        self._log("cache, whole run", self._total())

    def _total(self) -> CacheHits:
        here = sum((counter.total() for counter in self._counters), CacheHits())
        return sum(gather_objects(here), CacheHits())

    def _log(self, name: str, hits: CacheHits) -> None:
        if not is_main() or hits.rate is None:
            return
        size_bytes = sum(self._folder.size_bytes(name) for name in self._stores)
        logger.info(
            "{}: {:,} frames, {} of {}, hits {:.1%}",
            name,
            sum(store.count() for store in self._stores.values()),
            _size(size_bytes),
            _size(self._folder.limit_bytes),
            hits.rate,
        )

    def _store(self, fingerprint: str) -> FrameStore:
        name = self._store_name or hashlib.blake2b(fingerprint.encode(), digest_size=16).hexdigest()
        if name not in self._stores:
            self._in_use.enter_context(self._folder.use(name))
            self._stores[name] = FrameStore(self._folder, name)
            self._in_use.callback(self._stores[name].close)
        return self._stores[name]


@contextmanager
def open_frame_cache(kind: CacheKind, cache_dir: Path, limit_bytes: int) -> Iterator[FrameCache]:
    """Open the cache of a run; all processes of the run call this together.

    A cache in memory is shared by the processes of a machine and removed at the end. The remains of
    killed runs are removed at the start.

    Args:
        kind: ``ram`` or ``disk``.
        cache_dir: folder of caches, for ``disk``.
        limit_bytes: maximum size. In memory, also at most half of what is free at the start.

    Raises:
        OutputError: if it cannot be written.
    """
    with ExitStack() as in_use:
        if kind == "disk":
            folder, store_name = CacheFolder(cache_dir / "frames", limit_bytes), None
            folder.make()
        else:
            folder, store_name = _memory_store(limit_bytes, in_use)
        yield FrameCache(folder, store_name, in_use)


def _memory_store(limit_bytes: int, in_use: ExitStack) -> tuple[CacheFolder, str]:
    """Return the store of this run in memory; the first process of the machine owns it."""
    path = memory_cache_dir()
    folder = CacheFolder(path, limit_bytes)
    folder.make()
    name = f"run-{secrets.token_hex(8)}"
    if local_rank() == 0:
        while folder.remove_oldest_unused():  # left by runs that were killed
            pass
        in_use.enter_context(folder.use(name))
        in_use.callback(folder.remove, name)
    all_stores = gather_objects((memory_limit_bytes(path, limit_bytes), name))
    limit, name = all_stores[rank() - local_rank()]  # that of the first process of this machine
    if limit < limit_bytes and is_main():
        logger.info(
            "The cache may take {}, half of the free memory (`cache_gb`: {}).",
            _size(limit),
            _size(limit_bytes),
        )
    return CacheFolder(path, limit), name


def default_cache_dir() -> Path:
    """Return ``easnn`` in the user's cache folder: ``$XDG_CACHE_HOME``, else ``~/.cache``."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (chosen if chosen.is_absolute() else Path.home() / ".cache") / "easnn"


def memory_cache_dir() -> Path:
    """Return this user's folder for files in memory, or one on the disk if the system has none."""
    parent = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else Path(tempfile.gettempdir())
    return parent / f"easnn-{os.getuid()}"


def memory_limit_bytes(folder: Path, requested_bytes: int) -> int:
    """Return the maximum size of a cache in memory: what is requested, or half of what is free.

    Args:
        folder: an existing folder in memory.
        requested_bytes: what is requested.
    """
    space = os.statvfs(folder)
    free_bytes = min(space.f_bavail * space.f_frsize, free_memory_bytes())
    return min(requested_bytes, int(MAX_MEMORY_FRACTION * free_bytes))


def _size(count: int) -> str:
    return f"{count / GB:.3g} GB" if count >= GB else f"{count / 10**6:.3g} MB"
