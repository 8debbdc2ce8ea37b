"""Typed, documented settings, each declared once by the code that uses it."""

from easnn.config.config import Config
from easnn.config.key import Key, key
from easnn.config.kinds import FilePath
from easnn.config.on_resume import HARMLESS, TAKES_EFFECT, OnResume, refused

__all__ = ["HARMLESS", "TAKES_EFFECT", "Config", "FilePath", "Key", "OnResume", "key", "refused"]
