"""A dataset whose frames come from a cache."""

from __future__ import annotations

import hashlib

from easnn.data.cache.hits import HitCounter, Hits
from easnn.data.cache.store import FrameStore, Kept
from easnn.data.dataset import CacheableDataset, DetectionDataset, Frame

KEY_BYTES = 16


class CachedDataset(DetectionDataset):
    """The same frames as those of another dataset, made only once as long as nothing changes.

    A frame is kept by everything that it follows from: the code, the dataset's settings, the recording's
    path, size and time of change, and the label's time. Boxes are not kept. Frames at another speed
    (``speed_aug``) are of no use a second time and pass by the cache.

    Args:
        dataset: the dataset.
        settings: its :meth:`~easnn.data.dataset.CacheableDataset.settings`.
        store: where frames are kept.
        counter: counts where they came from.
    """

    def __init__(
        self, dataset: CacheableDataset, settings: str, store: FrameStore, counter: HitCounter
    ) -> None:
        self.name = dataset.name
        self.split = dataset.split
        self.sensor_hw = dataset.sensor_hw
        self.class_names = dataset.class_names
        self._dataset = dataset
        self._settings = settings
        self._store = store
        self._counter = counter

    def __len__(self) -> int:
        return len(self._dataset)

    def load(self, index: int) -> Frame:
        """Return frame ``index``; see :class:`DetectionDataset`."""
        key = self._key(index)
        events = None if key is None else self._store.get(key)
        if events is not None:
            self._counter.add(Hits(found=1))
            return Frame(events, *self._dataset.label(index))
        frame = self._dataset.load(index)
        full = key is not None and key == self._key(index) and self._store.put(key, frame.events) is Kept.FULL
        self._counter.add(Hits(made=1, refused=int(full)))
        return frame

    def load_at_speed(self, index: int, speed: float) -> Frame:
        """Make frame ``index`` at another speed; see :class:`DetectionDataset`."""
        return self._dataset.load_at_speed(index, speed)

    def _key(self, index: int) -> bytes | None:
        moment = self._dataset.moment(index)
        if moment is None:
            return None
        return hashlib.blake2b(f"{self._settings}\n{moment}".encode(), digest_size=KEY_BYTES).digest()
