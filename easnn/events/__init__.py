"""Recordings and their labels: one event type, and a reader and a writer for every file format."""

from easnn.events.boxes import read_boxes, write_boxes
from easnn.events.contours import Contours, read_contours, write_contours
from easnn.events.dat import DatRecording, open_dat, write_dat
from easnn.events.downsample import (
    DownsampledRecording,
    downsample_boxes,
    downsample_recording,
    downsampled_hw,
)
from easnn.events.five_byte import FiveByteRecording, open_five_byte, write_five_byte
from easnn.events.types import BOX_DTYPE, EVENT_DTYPE, Recording, StoredRecording, pack_events
from easnn.events.window import EventWindow, label_window

__all__ = [
    "BOX_DTYPE",
    "EVENT_DTYPE",
    "Contours",
    "DatRecording",
    "DownsampledRecording",
    "EventWindow",
    "FiveByteRecording",
    "Recording",
    "StoredRecording",
    "downsample_boxes",
    "downsample_recording",
    "downsampled_hw",
    "label_window",
    "open_dat",
    "open_five_byte",
    "pack_events",
    "read_boxes",
    "read_contours",
    "write_boxes",
    "write_contours",
    "write_dat",
    "write_five_byte",
]
