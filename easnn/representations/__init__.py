"""Event representations: pure functions by name, and the frame specification that selects one."""

from easnn.representations.frame_spec import Aggregation, FrameKeys, FrameSpec, Measure, Slicing
from easnn.representations.functions import (
    REPRESENTATIONS,
    Representation,
    frame_bounds_us,
    make_frame,
    represent,
    slice_bounds_us,
)
from easnn.representations.histogram import HISTOGRAM_CHANNELS, event_sum, stacked_histogram

__all__ = [
    "HISTOGRAM_CHANNELS",
    "REPRESENTATIONS",
    "Aggregation",
    "FrameKeys",
    "FrameSpec",
    "Measure",
    "Representation",
    "Slicing",
    "event_sum",
    "frame_bounds_us",
    "make_frame",
    "represent",
    "slice_bounds_us",
    "stacked_histogram",
]
