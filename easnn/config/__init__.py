"""Typed, documented settings, each declared once by the code that uses it."""

from easnn.config.config import Config
from easnn.config.key import Key, key
from easnn.config.kinds import FilePath

__all__ = ["Config", "FilePath", "Key", "key"]
