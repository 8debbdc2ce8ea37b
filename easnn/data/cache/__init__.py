"""What is made once and kept: frames, for a run or for later ones, and labels for the next start."""

from easnn.data.cache.dataset import CachedDataset
from easnn.data.cache.frame_cache import GB, CacheKind, FrameCache, open_frame_cache
from easnn.data.cache.place import default_cache_dir

__all__ = ["GB", "CacheKind", "CachedDataset", "FrameCache", "default_cache_dir", "open_frame_cache"]
