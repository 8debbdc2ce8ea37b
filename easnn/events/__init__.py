"""Recordings and their labels: one event type, and a reader and a writer for every file format."""

from easnn.events.boxes import read_boxes, write_boxes
from easnn.events.dat import DatRecording, open_dat, write_dat
from easnn.events.types import BOX_DTYPE, EVENT_DTYPE, Recording, pack_events
from easnn.events.window import EventWindow, label_window, play_at_speed

__all__ = [
    "BOX_DTYPE",
    "EVENT_DTYPE",
    "DatRecording",
    "EventWindow",
    "Recording",
    "label_window",
    "open_dat",
    "pack_events",
    "play_at_speed",
    "read_boxes",
    "write_boxes",
    "write_dat",
]
