"""A dataset whose frames come from a cache, and the count of its hits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from easnn.data.cache.frame_store import FrameStore, PutResult
from easnn.data.detection_dataset import DetectionDataset, Frame, Label
from easnn.data.timeline import Timeline

KEY_BYTES = 16


@dataclass(frozen=True)
class CacheHits:
    """Where frames came from.

    Attributes:
        found: frames that were in the cache.
        made: frames that were computed from events.
        refused: those of the computed frames for which the cache had no room.
    """

    found: int = 0
    made: int = 0
    refused: int = 0

    def __add__(self, other: Self) -> CacheHits:
        return CacheHits(
            self.found + other.found, self.made + other.made, self.refused + other.refused
        )

    def __sub__(self, other: Self) -> CacheHits:
        return CacheHits(
            self.found - other.found, self.made - other.made, self.refused - other.refused
        )

    @property
    def rate(self) -> float | None:
        """The fraction of frames that were in the cache, 0 to 1; None if there were no frames."""
        frames = self.found + self.made
        return self.found / frames if frames else None


class HitCounter:
    """Counts in memory that a process shares with its data workers, each of which has its own row.

    Args:
        num_workers: data workers of this process.
    """

    def __init__(self, num_workers: int) -> None:
        counts = torch.zeros(num_workers + 1, 3, dtype=torch.int64)
        self._counts: Tensor = counts.share_memory_()  # type: ignore[no-untyped-call]

    def add(self, hits: CacheHits) -> None:
        """Count some frames; called by the process that loaded them."""
        worker = get_worker_info()
        row = self._counts[0 if worker is None else worker.id + 1]
        row += torch.tensor([hits.found, hits.made, hits.refused])

    def total(self) -> CacheHits:
        """Return the sum over all processes that share this counter."""
        found, made, refused = self._counts.sum(dim=0).tolist()
        return CacheHits(found, made, refused)


class CachedDataset(DetectionDataset):
    """The frames of another dataset, each computed only once as long as nothing changes.

    The key of a frame contains everything that it depends on: the code, the settings of the
    dataset, the recording's path, size and time of change, and the time of the label. Boxes are not
    cached. Frames at another speed (``speed_aug``, ``time_flip``) are not needed twice and are not
    cached.

    Args:
        dataset: the dataset.
        fingerprint: its :meth:`~easnn.data.detection_dataset.DetectionDataset.fingerprint`.
        store: where frames are cached.
        counter: counts where they came from.
    """

    def __init__(
        self, dataset: DetectionDataset, fingerprint: str, store: FrameStore, counter: HitCounter
    ) -> None:
        self.name = dataset.name
        self.split = dataset.split
        self.sensor_hw = dataset.sensor_hw
        self.class_names = dataset.class_names
        self._dataset = dataset
        self._fingerprint = fingerprint
        self._store = store
        self._counter = counter

    def __len__(self) -> int:
        return len(self._dataset)

    def load(self, index: int) -> Frame:
        """Return frame ``index``; see :class:`DetectionDataset`."""
        key = self._key(index)
        events = None if key is None else self._store.get(key)
        if events is not None:
            self._counter.add(CacheHits(found=1))
            label = self._dataset.label(index)
            return Frame(events, label.boxes, label.time_us, label.sequence)
        frame = self._dataset.load(index)
        refused = False
        if key is not None and key == self._key(index):  # the file did not change while it was read
            refused = self._store.put(key, frame.events) is PutResult.FULL
        self._counter.add(CacheHits(made=1, refused=int(refused)))
        return frame

    def load_at_speed(self, index: int, speed: float) -> Frame:
        """Compute frame ``index`` at another speed; see :class:`DetectionDataset`."""
        return self._dataset.load_at_speed(index, speed)

    def label(self, index: int) -> Label:
        """Return frame ``index`` without its events; see :class:`DetectionDataset`."""
        return self._dataset.label(index)

    def timeline(self) -> Timeline:
        """Return the windows of each recording; see :class:`DetectionDataset`."""
        return self._dataset.timeline()

    def load_between(self, recording: int, end: int) -> Frame:
        """Compute a window without a label, which is not cached; see :class:`DetectionDataset`."""
        return self._dataset.load_between(recording, end)

    def motion(self, index: int) -> np.ndarray | None:
        """Return how the objects of frame ``index`` move; see :class:`DetectionDataset`."""
        return self._dataset.motion(index)

    @property
    def measures_silence(self) -> bool:
        """Whether motion is measured from events; see :class:`DetectionDataset`."""
        return self._dataset.measures_silence

    def _key(self, index: int) -> bytes | None:
        frame_fingerprint = self._dataset.frame_fingerprint(index)
        if frame_fingerprint is None:
            return None
        content = f"{self._fingerprint}\n{frame_fingerprint}"
        return hashlib.blake2b(content.encode(), digest_size=KEY_BYTES).digest()
