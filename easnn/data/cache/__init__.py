"""Caches: frames, for one run or for later ones, and labels, for the next start."""

from easnn.data.cache.cached_dataset import CachedDataset
from easnn.data.cache.frame_cache import (
    GB,
    FrameCache,
    default_cache_dir,
    open_frame_cache,
)
from easnn.utils.options import CacheKind

__all__ = [
    "GB",
    "CacheKind",
    "CachedDataset",
    "FrameCache",
    "default_cache_dir",
    "open_frame_cache",
]
