"""Checkpoints of the published EAS-SNN code: their files, their networks, and their experiments."""

from easnn.published.checkpoint_file import PublishedCheckpoint
from easnn.published.config_from_weights import config_from_weights
from easnn.published.record import PublishedRecord
from easnn.published.state_dict import from_published, to_published

__all__ = [
    "PublishedCheckpoint",
    "PublishedRecord",
    "config_from_weights",
    "from_published",
    "to_published",
]
